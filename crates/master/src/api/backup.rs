//! `Backup`: everything that is durable, as one stream.

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_store::{Archive, ArchiveError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

pub(crate) type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

/// Chunks that wait to be sent; the store buffers a few more.
const WAITING: usize = 2;

/// Begins a backup. Any master can take one, because it reads committed records.
pub(crate) fn begin(archive: &Archive) -> BackupStream {
    let (pieces, stream) = mpsc::channel(WAITING);
    let mut backup = archive.begin();
    tokio::spawn(async move {
        loop {
            let chunk = match backup.next().await {
                Ok(Some(data)) => Ok(v1::BackupResponse { data: data.into() }),
                Ok(None) => return,
                Err(error) => Err(failure(&error).into()),
            };
            let ends = chunk.is_err();
            if pieces.send(chunk).await.is_err() || ends {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

fn failure(error: &ArchiveError) -> Failure {
    tracing::warn!(error = error as &dyn std::error::Error, "a backup was not taken to its end");
    match error {
        // Another master or another try may succeed.
        ArchiveError::Closed | ArchiveError::Store { .. } => Failure::GoingAway,
        ArchiveError::Forgotten => Failure::Internal { message: error.to_string() },
    }
}
