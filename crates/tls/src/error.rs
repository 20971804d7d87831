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
    /// A directory holds one of the CA's two files without the other.
    #[error("{0} is missing beside the other file of the CA")]
    Incomplete(PathBuf),
    /// A directory is not the CA's own.
    #[error(transparent)]
    Directory(#[from] PrivateDirectoryError),
    /// Another user, who has this number, owns a file.
    #[error("{0} is another user's ({1}), who may know the key or have chosen it")]
    Planted(PathBuf, u32),
    /// A CA is to be made where one is.
    #[error("{0} holds a CA already")]
    Exists(PathBuf),
    /// A key can be read by others than its owner.
    #[error("{0} can be read by others: chmod 600 it, and make a new CA if they may have done so")]
    Exposed(PathBuf),
    /// A file is not what it should be.
    #[error("{0} is no {1}")]
    Malformed(PathBuf, &'static str),
    /// A certificate is of another key.
    #[error("the certificate is of another key")]
    OtherKey,
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
