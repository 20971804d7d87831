//! Why a client and a master do not understand each other.

use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connect::{is_of_certificate, trusted};
use crate::{Trust, names};

/// What keeps a client and the master at an address apart.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The master speaks TLS and the client does not.
    #[error("speaks TLS")]
    NeedsTls,
    /// The client speaks TLS and the master does not.
    #[error("does not speak TLS")]
    Plaintext,
    /// The handshake failed, as a rule because the CA is another.
    #[error("is not trusted")]
    Untrusted(#[source] io::Error),
    /// The master's certificate holds at another time than this machine's clock tells.
    #[error("shows a certificate that is not valid now: check this machine's clock, and the master's")]
    Clock(#[source] io::Error),
    /// The master refuses the certificate that the client shows, for this reason.
    #[error("refuses the certificate that it is shown: {0}")]
    Refused(&'static str),
}

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// How a record of TLS begins that is an alert.
const ALERT: u8 = 0x15;

/// Finds out what keeps them apart; `None` if it is nothing of TLS, or takes longer than `timeout`.
pub async fn mismatch(address: &str, trust: Option<&Trust>, timeout: Duration) -> Option<Mismatch> {
    tokio::time::timeout(timeout, find(address, trust, timeout)).await.ok().flatten()
}

async fn find(address: &str, trust: Option<&Trust>, timeout: Duration) -> Option<Mismatch> {
    let Some(trust) = trust else { return speaks_tls(address).await?.then_some(Mismatch::NeedsTls) };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let dial = || async { TcpStream::connect(address).await.map_err(|_| Unfit::Unreachable) };
    // A master in transition speaks both, so only one that does not shake hands is asked further.
    match trusted(dial, trust, names::MASTER, host, timeout).await {
        Ok(stream) if trust.shows_certificate() => refusal_in(stream).await.map(Mismatch::Refused),
        Ok(_) | Err(Unfit::Unreachable) => None,
        Err(Unfit::Untrusted(error)) if is_of_clock(&error) => Some(Mismatch::Clock(error)),
        Err(Unfit::Untrusted(error)) if is_of_certificate(&error) => Some(Mismatch::Untrusted(error)),
        Err(Unfit::Untrusted(error)) => Some(match speaks_tls(address).await? {
            true => Mismatch::Untrusted(error),
            false => Mismatch::Plaintext,
        }),
    }
}

/// Whether a certificate is not yet, or no longer, valid by this machine's clock.
pub(crate) fn is_of_clock(error: &io::Error) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(bad)) = cause else { return false };
    matches!(bad, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// Why there is no connection that is trusted.
enum Unfit {
    Unreachable,
    Untrusted(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Unfit {
        Unfit::Untrusted(error)
    }
}

/// Why a master refuses a certificate, if it does. A client of TLS 1.3 is done with the handshake
/// before the master has seen what it shows, so the refusal comes in place of the first byte.
async fn refusal_in(mut stream: impl AsyncRead + Unpin) -> Option<&'static str> {
    let error = stream.read_u8().await.err()?;
    let Some(rustls::Error::AlertReceived(alert)) = error.get_ref()?.downcast_ref() else { return None };
    Some(match alert {
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => {
            "by the master's clock it has ended, or is not valid yet; check the clocks of both machines"
        }
        AlertDescription::UnknownCA => "no CA that the master takes has signed it",
        _ => "it is not good there",
    })
}

/// Whether the answer to plaintext is an alert; `None` if there is none.
async fn speaks_tls(address: &str) -> Option<bool> {
    let mut tcp = TcpStream::connect(address).await.ok()?;
    tcp.write_all(PREFACE).await.ok()?;
    Some(tcp.read_u8().await.ok()? == ALERT)
}
