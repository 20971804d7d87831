//! The HTTP port, for what asks no gRPC: probes, and scrapes of metrics.
//!
//! It has an address of its own and needs no credentials: whoever reaches it can read the few
//! pages, and can do nothing. A connection carries one request, within a bounded time, and while
//! all places are taken, the client that has been slowest to ask gives its place to the next: so
//! slow clients keep no probe out, however many they are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::KnownHosts;
use super::metrics::{self, METRICS_TYPE, MetricsWriter};

/// Connections at one time. Probes and scrapes need a few; a slow client costs a descriptor and
/// some kilobytes.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection has its place in any case: the head of a probe comes at once.
const PLACE_FOR: Duration = Duration::from_millis(100);
/// The head of a request is a few hundred bytes, and comes at once.
const HEAD_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may last in all.
const WITHIN: Duration = Duration::from_secs(10);
/// The largest head of a request; a larger one is answered with 431.
const MAX_HEAD: usize = 16 << 10;
/// The pause after a connection could not be accepted: those that are open get time to end.
const PAUSE: Duration = Duration::from_millis(50);

/// What the pages tell.
pub trait HttpPages: fmt::Debug + Send + Sync + 'static {
    /// Whether calls are answered here, which is what the health service says of `readiness`.
    fn is_ready(&self) -> bool;

    /// Writes the metrics. It may take some milliseconds: it is called on a thread that may block.
    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result;
}

/// A listener of the HTTP port.
#[derive(Debug)]
pub struct HttpPort {
    listener: TcpListener,
    address: SocketAddr,
    hosts: KnownHosts,
}

impl HttpPort {
    /// Listens. On loopback, the port may be called by these names (with or without a port) besides
    /// loopback's own.
    pub async fn bind(address: SocketAddr, names: impl IntoIterator<Item = String>) -> io::Result<HttpPort> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(HttpPort { listener, address, hosts: KnownHosts::of(address, names) })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the pages until it is dropped.
    pub async fn serve(self, pages: Arc<impl HttpPages>) -> Infallible {
        tracing::info!("serving HTTP on {}", self.address);
        let hosts = Arc::new(self.hosts);
        let mut places = ConnectionPlaces::default();
        loop {
            places.wait_for_one().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let has_asked = Arc::new(AtomicBool::new(false));
                    let answered = answer_one(stream, pages.clone(), hosts.clone(), has_asked.clone());
                    // A client that is too slow, or speaks no HTTP, is cut.
                    places.take(has_asked, async move {
                        let _ = timeout(WITHIN, answered).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the HTTP port");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The connections, from the oldest on.
#[derive(Debug, Default)]
struct ConnectionPlaces {
    taken: VecDeque<OpenConnection>,
    /// Dropped with this, and with it every connection.
    connections: JoinSet<()>,
}

/// A connection that has a place.
#[derive(Debug)]
struct OpenConnection {
    since: Instant,
    /// Whether the head of its request was read.
    has_asked: Arc<AtomicBool>,
    task: AbortHandle,
}

impl ConnectionPlaces {
    fn take(&mut self, has_asked: Arc<AtomicBool>, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.connections.spawn(connection);
        self.taken.push_back(OpenConnection { since: Instant::now(), has_asked, task });
    }

    /// Waits until there is a place: one that is free, or that of the oldest connection that has
    /// not asked yet, else of the oldest.
    async fn wait_for_one(&mut self) {
        loop {
            while self.connections.try_join_next().is_some() {}
            self.taken.retain(|place| !place.task.is_finished());
            if self.taken.len() < MAX_CONNECTIONS {
                return;
            }
            let slowest = self.taken.iter().position(|place| !place.has_asked.load(Ordering::Relaxed)).unwrap_or(0);
            let until = self.taken[slowest].since + PLACE_FOR;
            if until <= Instant::now() {
                self.taken[slowest].task.abort();
                self.taken.remove(slowest);
                return;
            }
            tokio::select! {
                _ = self.connections.join_next() => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

/// Answers the one request of a connection.
async fn answer_one(
    stream: TcpStream,
    pages: Arc<impl HttpPages>,
    hosts: Arc<KnownHosts>,
    has_asked: Arc<AtomicBool>,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let (pages, hosts) = (pages.clone(), hosts.clone());
        async move { Ok::<_, Infallible>(answer(&request, pages, &hosts).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: &Request<Incoming>, pages: Arc<impl HttpPages>, hosts: &KnownHosts) -> Response<Full<Bytes>> {
    if hosts.foreign(request.uri(), request.headers()).is_some() {
        return text(StatusCode::FORBIDDEN, "a port on loopback is called by a name of loopback, and by no browser\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" if pages.is_ready() => text(StatusCode::OK, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        "/metrics" => scrape(pages).await,
        _ => text(StatusCode::NOT_FOUND, "no such page; there are /healthz, /readyz and /metrics\n"),
    }
}

/// One page at a time: more at once would only share the same cores.
static SCRAPES: Semaphore = Semaphore::const_new(1);

async fn scrape(pages: Arc<impl HttpPages>) -> Response<Full<Bytes>> {
    let turn: Result<SemaphorePermit<'_>, _> = SCRAPES.acquire().await;
    let written = tokio::task::spawn_blocking(move || metrics::page(pages)).await;
    drop(turn);
    let Ok(Ok(page)) = written else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n");
    };
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = Full::new(Bytes::from(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[derive(Debug, Default)]
    struct Pages(AtomicBool);

    impl HttpPages for Pages {
        fn is_ready(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
            page.gauge(metrics::metric("ready", "Whether it is ready."), 1.0)
        }
    }

    async fn port() -> (SocketAddr, Arc<Pages>) {
        let port = HttpPort::bind("127.0.0.1:0".parse().unwrap(), ["worker.example:1".to_owned()]).await.unwrap();
        let (address, pages) = (port.address(), Arc::new(Pages::default()));
        tokio::spawn(port.serve(pages.clone()));
        (address, pages)
    }

    /// The answer to a request, to the end of the connection.
    async fn asked(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_learn_of_life_and_of_readiness() {
        let (address, pages) = port().await;
        let get = async |path: &str| asked(address, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert!(get("/readyz").await.starts_with("HTTP/1.1 503 "));
        assert!(get("/healthz").await.starts_with("HTTP/1.1 200 "), "a process lives before it is ready");
        pages.0.store(true, Ordering::Relaxed);
        let ready = get("/readyz?verbose").await;
        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nready\n"), "{ready}");
        assert!(get("/").await.starts_with("HTTP/1.1 404 "));
        let scraped = get("/metrics").await;
        assert!(scraped.contains(METRICS_TYPE) && scraped.ends_with("\nready 1.0\n# EOF\n"), "{scraped}");
    }

    #[tokio::test]
    async fn a_head_has_no_body_and_nothing_else_is_a_method() {
        let (address, _) = port().await;
        let head = asked(address, "HEAD /healthz HTTP/1.0\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.0 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let refused = asked(address, &format!("{method} /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
            assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_port_on_loopback_is_not_read_by_a_foreign_name_or_a_browser() {
        let (address, _) = port().await;
        for headers in ["host: evil.example", "host: localhost\r\norigin: null", "host: 10.0.0.1:8080"] {
            let refused = asked(address, &format!("GET /healthz HTTP/1.1\r\n{headers}\r\n\r\n")).await;
            assert!(refused.starts_with("HTTP/1.1 403 "), "{headers}: {refused}");
        }
        let known = asked(address, "GET /healthz HTTP/1.1\r\nhost: worker.example\r\n\r\n").await;
        assert!(known.starts_with("HTTP/1.1 200 "), "{known}");
    }

    /// With the clock stopped, time passes only when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_does_not_hold_its_place() {
        let (address, _) = port().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        let mut answer = String::new();
        let ended = timeout(Duration::from_secs(3600), silent.read_to_string(&mut answer)).await;
        assert!(ended.is_ok(), "those who say nothing are cut");
    }

    /// However many they are, a slow client keeps the next one out for a moment.
    #[tokio::test(start_paused = true)]
    async fn who_is_slow_to_ask_gives_its_place_to_the_next() {
        let mut places = ConnectionPlaces::default();
        let asked: Vec<_> = (0..MAX_CONNECTIONS).map(|number| Arc::new(AtomicBool::new(number != 7))).collect();
        for has_asked in &asked {
            places.take(has_asked.clone(), std::future::pending());
        }
        let began = Instant::now();
        places.wait_for_one().await;
        assert_eq!(began.elapsed(), PLACE_FOR, "the clock is the test's own");
        assert!(places.taken.iter().all(|place| place.has_asked.load(Ordering::Relaxed)), "the slow one is gone");
        assert_eq!(places.taken.len(), MAX_CONNECTIONS - 1);
        // Where all have asked, the oldest goes.
        places.take(Arc::new(AtomicBool::new(true)), std::future::pending());
        let youngest = places.taken.back().map(|place| place.task.id());
        places.wait_for_one().await;
        assert_eq!(places.taken.len(), MAX_CONNECTIONS - 1);
        assert_eq!(places.taken.back().map(|place| place.task.id()), youngest);
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _) = port().await;
        let large = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(MAX_HEAD));
        let refused = asked(address, &large).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    }
}
