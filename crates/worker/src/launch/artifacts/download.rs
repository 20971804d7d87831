//! Artifacts of the web.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{LOCATION, RETRY_AFTER};
use ureq::http::uri::Scheme;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::transport::DefaultConnector;

use super::FetchError;
use super::transfer::watched;
use crate::launch::reachable::{AdmittedResolver, ArtifactNetworks, NotAdmitted};
use crate::launch::redirect::redirected;

/// How long a whole transfer may take, however steady it is.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3_600);

/// A server that is silent for this long has failed.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Redirects of one try, as most clients take them.
pub(super) const REDIRECTS: usize = 10;

/// A redirect out of TLS is followed for what has a hash alone: anybody on the way could answer it.
pub(super) fn download(mut uri: Uri, has_hash: bool, networks: &ArtifactNetworks) -> Result<Box<dyn Read>, FetchError> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(SILENCE_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .timeout_global(Some(TRANSFER_TIMEOUT))
        // The status is handled here, together with the server's word on when to ask again.
        .http_status_as_error(false)
        // The library takes a redirect to `file:///a` for one to a path of the same server.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), AdmittedResolver(networks.clone()));
    for _ in 0..=REDIRECTS {
        let response = agent.get(&uri).call().map_err(|error| request_error(&error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let status = response.status();
        match (status, header(LOCATION)) {
            // Only this status says that the whole file follows: 204 has none and 206 has a part of
            // one.
            (StatusCode::OK, _) => return Ok(watched(Download(response.into_body().into_reader()))),
            (
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT,
                Some(location),
            ) => {
                let next = redirected(&uri, location).ok_or(FetchError::Request(NO_REDIRECT, true))?;
                if !has_hash && leaves_tls(&uri, &next) {
                    return Err(FetchError::Request(OUT_OF_TLS, true));
                }
                uri = next;
            }
            _ => {
                let asked = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
                return Err(FetchError::Status(status.as_u16(), asked.map(Duration::from_secs)));
            }
        }
    }
    Err(FetchError::Request("it is redirected without end", true))
}

pub(super) fn leaves_tls(from: &Uri, to: &Uri) -> bool {
    from.scheme() == Some(&Scheme::HTTPS) && to.scheme() != Some(&Scheme::HTTPS)
}

/// A body that comes over a network. An error in its middle means that the transfer broke, not that
/// a file cannot be read.
struct Download<R>(R);

impl<R: Read> Read for Download<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error.kind().to_string()))
    }
}

/// What may pass is the way to the server. Another protocol than the address says, and an address
/// that leads nowhere, stay as they are.
pub(super) fn request_error(error: &ureq::Error) -> FetchError {
    use io::ErrorKind;
    use ureq::Error;
    let (what, permanent) = match error {
        Error::Timeout(_) => ("it took too long", false),
        Error::HostNotFound => ("the host is not known", false),
        Error::Other(error) if error.is::<NotAdmitted>() => (NOT_ADMITTED, true),
        // TLS puts its own errors into this kind, about what it read and about certificates.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => (NO_TLS, true),
        Error::Tls(_) | Error::Rustls(_) => (NO_TLS, true),
        Error::ConnectionFailed | Error::Io(_) => ("the connection failed", false),
        Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl => ("the address is none", true),
        Error::Protocol(_) | Error::LargeResponseHeader(..) => ("the server does not speak HTTP", true),
        _ => ("the server cannot be asked", false),
    };
    FetchError::Request(what, permanent)
}

const NO_REDIRECT: &str = "it is redirected to no address of the web";
const OUT_OF_TLS: &str = "it is redirected out of TLS, which needs sha256=";
pub(super) const NOT_ADMITTED: &str = "artifacts are not fetched from that address (--artifact-allow of the worker)";
pub(super) const NO_TLS: &str = "the server does not speak TLS, or its certificate is not trusted";
