//! This program, as workers fetch it: over HTTP from the driver, at a path that only the master
//! and the workers are told.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Bytes that are read and sent at once.
const PIECE: usize = 256 << 10;
/// Connections at the same time: more workers wait, and fetch later.
const CONNECTIONS: usize = 256;
/// How long a worker may take. One that is slower tries again.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait when no connection can be taken, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves this program at a path, until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, path: Arc<str>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let path = path.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| answer(request, path.clone()));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // An error means that the worker has hung up, or was too slow; it tries again.
            let _ = tokio::time::timeout(TRANSFER_TIMEOUT, connection).await;
        });
    }
}

async fn answer(request: Request<hyper::body::Incoming>, path: Arc<str>) -> Result<Response<ProgramBody>, Infallible> {
    let status = |status| {
        let mut response = Response::new(ProgramBody { file: None, left: 0 });
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != &*path {
        return Ok(status(StatusCode::NOT_FOUND));
    }
    if request.method() != Method::GET {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    // The file that runs, even if another one has its path by now.
    let opened = File::open("/proc/self/exe").and_then(|file| Ok((file.metadata()?.len(), file)));
    Ok(match opened {
        Ok((left, file)) => Response::new(ProgramBody { file: Some(file), left }),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    })
}

/// The program, read piece by piece: it is in the page cache, since it runs.
struct ProgramBody {
    file: Option<File>,
    left: u64,
}

impl Body for ProgramBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let body = self.get_mut();
        let Some(file) = body.file.as_mut().filter(|_| body.left > 0) else { return Poll::Ready(None) };
        let mut piece = vec![0; usize::try_from(body.left).unwrap_or(PIECE).min(PIECE)];
        let read = file.read_exact(&mut piece);
        body.left -= piece.len() as u64;
        Poll::Ready(Some(read.map(|()| Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
