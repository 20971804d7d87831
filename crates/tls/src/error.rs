//! Why there is no TLS.

use std::io;
use std::path::PathBuf;

use muster_os::PrivateDirectoryError;

/// A CA or a certificate cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{0}")]
    File(PathBuf, #[source] io::Error),
    /// A file is not there: of a CA or of a pair, one without the other.
    #[error("{0} is missing")]
    Missing(PathBuf),
    /// A directory holds nothing of a CA.
    #[error("{0} holds no CA: make one with `muster-master init --out DIRECTORY`, and give every master a copy")]
    NoCa(PathBuf),
    /// A directory is not the CA's own.
    #[error(transparent)]
    Directory(#[from] PrivateDirectoryError),
    /// Another user, who has this number, owns a file.
    #[error("{0} is another user's ({1}), who may know the key or have chosen it")]
    Planted(PathBuf, u32),
    /// A CA is to be made where one is.
    #[error("{0} holds a CA already")]
    Exists(PathBuf),
    /// Another process rotates the CA of a directory.
    #[error("another process rotates the CA in {0}")]
    Rotating(PathBuf),
    /// A key can be read by others than its owner.
    #[error("{0} can be read by others: chmod 600 it, and make a new key if they may have done so")]
    Exposed(PathBuf),
    /// A file is not what it should be.
    #[error("{0} is no {1}")]
    Malformed(PathBuf, &'static str),
    /// A certificate is of another key.
    #[error("the certificate is of another key")]
    OtherKey,
    /// Two files hold no pair.
    #[error("{0} is no certificate of the key in {1}")]
    NoPair(PathBuf, PathBuf),
    /// The certificate of a client is not good.
    #[error("the client's certificate is not good")]
    Client(#[source] rustls::Error),
    /// The certificate of a client has ended.
    #[error("the client's certificate has ended")]
    Ended,
    /// The chain of a client is longer than what is carried from master to master.
    #[error("the client's chain of certificates is longer than {0} bytes")]
    LongChain(usize),
    /// The certificate of a client names nobody.
    #[error("the client's certificate does not hold exactly one common name")]
    Nameless,
    /// A request for a certificate is none, or its signature does not prove its key.
    #[error("the request for a certificate does not prove its key")]
    Request(#[source] rcgen::Error),
    /// A text holds no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A name cannot stand in a certificate.
    #[error("{0} cannot stand in a certificate")]
    Name(String),
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// Clients cannot be verified.
    #[error("cannot verify clients")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// rustls refuses a setting or a certificate.
    #[error("cannot use a certificate")]
    Use(#[from] rustls::Error),
}
