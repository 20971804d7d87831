//! Reading and following a log.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_proto::v1::worker_service_read_log_request::Subject;
use muster_types::{AttemptKey, AttemptNumber, ExecutorId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status as GrpcStatus;

use super::ServiceState;
use crate::launch::in_one_line;
use crate::logs::{LogPiece, LogReadError, LogReader, Position, ReadStart, STREAMS};

/// First pause before a log is looked at again; it doubles while nothing comes.
const LOOK_MIN: Duration = Duration::from_millis(10);
/// Longest pause, which people do not notice.
const LOOK_MAX: Duration = Duration::from_millis(80);
/// Pieces that may wait for a slow reader; beyond them the file is not read.
const PIECES: usize = 4;

type LogAnswer = Result<v1::WorkerServiceReadLogResponse, GrpcStatus>;

/// Finds the log and begins to send it. Sending stops when the reader goes away.
pub(super) async fn begin(
    state: Arc<ServiceState>,
    request: v1::WorkerServiceReadLogRequest,
) -> Result<ReceiverStream<LogAnswer>, GrpcStatus> {
    let attempt = attempt_of(&request).ok_or_else(|| not_found(subject_of(&request)))?;
    let stream = match request.stream() {
        v1::LogStream::Unspecified | v1::LogStream::Stdout => STREAMS[0],
        v1::LogStream::Stderr => STREAMS[1],
    };
    let directory = state.layout.log_dir(&attempt);
    let exists = tokio::fs::try_exists(&directory).await.unwrap_or(false);
    if !exists && !state.attempts.may_run(&attempt) {
        return Err(not_found(subject_of(&request)));
    }
    let start = match (request.tail_bytes, request.offset) {
        (0, None) => ReadStart::At(Position::default()),
        (0, Some(offset)) => ReadStart::At(Position { truncations: offset.truncations, byte: offset.byte }),
        (tail, _) => ReadStart::Tail(tail),
    };
    let reader = LogReader::new(directory.join(stream), state.truncations.clone(), start);
    let (pieces, answers) = mpsc::channel(PIECES);
    let sending = LogSender { state, attempt, follow: request.follow, pieces };
    tokio::spawn(sending.run(reader));
    Ok(ReceiverStream::new(answers))
}

fn attempt_of(request: &v1::WorkerServiceReadLogRequest) -> Option<AttemptKey> {
    Some(match request.subject.as_ref()? {
        Subject::DriverUid(uid) => AttemptKey::Driver(uid.parse().ok()?, AttemptNumber(request.attempt)),
        Subject::ApplicationUid(uid) => AttemptKey::Executor(uid.parse().ok()?, ExecutorId(request.executor_id?)),
    })
}

fn subject_of(request: &v1::WorkerServiceReadLogRequest) -> &str {
    match &request.subject {
        Some(Subject::DriverUid(uid) | Subject::ApplicationUid(uid)) => uid,
        None => "",
    }
}

fn not_found(uid: &str) -> GrpcStatus {
    Failure::NotFound { kind: "log", name: uid.to_owned() }.to_status()
}

struct LogSender {
    state: Arc<ServiceState>,
    attempt: AttemptKey,
    follow: bool,
    pieces: mpsc::Sender<LogAnswer>,
}

impl LogSender {
    async fn run(self, mut reader: LogReader) {
        let mut changes = self.state.attempts.changes();
        let mut pause = LOOK_MIN;
        loop {
            // Asked before the file is read: if the attempt has ended by then, what is read
            // afterwards is everything.
            let may_run = self.state.attempts.may_run(&self.attempt);
            let (back, read) = match next(reader).await {
                Some(next) => next,
                None => return,
            };
            reader = back;
            let piece = match read {
                Ok(piece) => piece,
                Err(error) => {
                    let failure = Failure::Internal { message: in_one_line(&error) };
                    let _ = self.pieces.send(Err(failure.to_status())).await;
                    return;
                }
            };
            let at_end = piece.data.is_empty();
            if at_end && !(self.follow && may_run) {
                self.send(piece, !may_run).await;
                return;
            }
            if !at_end {
                pause = LOOK_MIN;
                if !self.send(piece, false).await {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LOOK_MAX),
                // The end of the attempt is noticed at once.
                () = self.has_changed(&mut changes, may_run) => {}
                () = self.pieces.closed() => return,
            }
        }
    }

    /// Waits until the attempt may run and could not before, or the reverse. Changes of other
    /// attempts are no reason to look at this log.
    async fn has_changed(&self, changes: &mut watch::Receiver<u64>, might_run: bool) {
        // The table lives as long as the service.
        while changes.changed().await.is_ok() {
            if self.state.attempts.may_run(&self.attempt) != might_run {
                return;
            }
        }
        std::future::pending().await
    }

    async fn send(&self, piece: LogPiece, end: bool) -> bool {
        let offset = v1::LogOffset { truncations: piece.position.truncations, byte: piece.position.byte };
        let chunk = v1::LogChunk { offset: Some(offset), data: piece.data.into(), skipped_bytes: piece.skipped, end };
        self.pieces.send(Ok(v1::WorkerServiceReadLogResponse { chunk: Some(chunk) })).await.is_ok()
    }
}

/// Reads on a thread that may block. `None` when the runtime ends.
async fn next(mut reader: LogReader) -> Option<(LogReader, Result<LogPiece, LogReadError>)> {
    tokio::task::spawn_blocking(move || {
        let piece = reader.read_next();
        (reader, piece)
    })
    .await
    .ok()
}
