//! Reading logs through a master.

use muster_proto::v1;
use tonic::Status;

use crate::master::master;
use crate::{CallError, Client, MessageStream, RetryState};

/// A log, chunk by chunk. A stream that breaks is opened again at the byte where it broke.
#[derive(Debug)]
pub struct LogRead {
    client: Client,
    request: v1::ReadLogRequest,
    stream: Option<MessageStream<v1::ReadLogResponse>>,
    ended: bool,
    retry_state: RetryState,
}

impl Client {
    /// Reads a log. The stream opens with the first read.
    pub fn read_log(&self, request: v1::ReadLogRequest) -> LogRead {
        LogRead {
            client: self.clone(),
            request,
            stream: None,
            ended: false,
            retry_state: RetryState::new(self.options.deadline),
        }
    }
}

impl LogRead {
    /// The next chunk; `None` at the end of the log. A read that follows the log ends once the
    /// process has ended and everything was read.
    pub async fn next(&mut self) -> Result<Option<v1::LogChunk>, CallError> {
        while !self.ended {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let stream = self.client.open_log(self.request.clone()).await?;
                    self.retry_state.opened();
                    self.stream.insert(stream)
                }
            };
            match stream.message().await {
                Ok(Some(v1::ReadLogResponse { chunk: Some(chunk) })) => {
                    self.received(&chunk);
                    return Ok(Some(chunk));
                }
                Ok(Some(v1::ReadLogResponse { chunk: None })) => {}
                Ok(None) => self.ended = true,
                Err(status) => self.broken(status).await?,
            }
        }
        Ok(None)
    }

    fn received(&mut self, chunk: &v1::LogChunk) {
        self.retry_state.over();
        self.ended = chunk.end;
        if let Some(offset) = &chunk.offset {
            let byte = offset.byte.saturating_add(chunk.data.len() as u64);
            self.request.offset = Some(v1::LogOffset { truncations: offset.truncations, byte });
            self.request.tail_bytes = 0;
        }
    }

    async fn broken(&mut self, status: Status) -> Result<(), CallError> {
        self.stream = None;
        let wait = self.retry_state.broke(Some(status)).map_err(|status| CallError::of_read("ReadLog", status))?;
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl Client {
    async fn open_log(&self, request: v1::ReadLogRequest) -> Result<MessageStream<v1::ReadLogResponse>, CallError> {
        let send = |channel, request| async move { master(channel).read_log(request).await };
        self.open("ReadLog", request, send).await
    }
}
