//! The CA of a cluster under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_tls::{Authority, Connector, Trust};
use tonic::transport::{Channel, Endpoint};

/// Whether clusters use TLS unless a test says otherwise: set `MUSTER_TEST_TLS` to run all
/// end-to-end tests over it.
pub(crate) fn is_tls_the_default() -> bool {
    std::env::var_os("MUSTER_TEST_TLS").is_some()
}

/// A CA that all masters of a cluster share, in a directory.
#[derive(Debug, Clone)]
pub(crate) struct TestCa(PathBuf);

impl TestCa {
    /// Makes one below a directory.
    pub(crate) fn create(directory: &Path) -> TestCa {
        let pki = directory.join("pki");
        Authority::create(&pki).expect("a CA can be made");
        TestCa(pki)
    }

    /// Makes one with an access file and the token of a first administrator in it, as
    /// `muster-master init` does.
    pub(crate) fn bundle(directory: &Path, program: &Path) -> TestCa {
        let pki = directory.join("bundle");
        let output = Command::new(program).args(["init", "--out"]).arg(&pki).output().expect("it can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        TestCa(pki)
    }

    /// The one that is in a directory.
    pub(crate) fn in_directory(directory: &Path) -> TestCa {
        TestCa(directory.to_owned())
    }

    /// The directory, for `--pki`.
    pub(crate) fn pki(&self) -> &Path {
        &self.0
    }

    /// The file of the certificate, for `--ca`.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// Trust in it.
    pub(crate) fn trust(&self) -> Trust {
        let pem = std::fs::read_to_string(self.file()).expect("the CA can be read");
        Trust::in_ca(&pem).expect("it is a CA")
    }
}

/// A connection, which is made when it is first needed.
pub(crate) fn connect_lazily(endpoint: &Endpoint, ca: Option<&TestCa>, within: Duration) -> Channel {
    endpoint.connect_with_connector_lazy(Connector::new(ca.map(TestCa::trust), within))
}
