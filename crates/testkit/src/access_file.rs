//! Credentials of a test's cluster.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Binaries, Options};

/// An access file, to which tokens are added by `muster-master token`.
#[derive(Debug)]
pub struct AccessFile {
    dir: TempDir,
    binaries: Binaries,
}

impl Default for AccessFile {
    fn default() -> AccessFile {
        AccessFile::new()
    }
}

impl AccessFile {
    /// One with the token of a worker.
    pub fn new() -> AccessFile {
        let file = AccessFile {
            dir: tempfile::tempdir().expect("a temporary folder can be made"),
            binaries: Binaries::locate(),
        };
        std::fs::write(file.worker_token(), file.token("worker", "worker")).expect("a file can be written");
        file
    }

    /// A new token. A master that runs knows it after its next look at the file.
    pub fn token(&self, name: &str, role: &str) -> String {
        let mut command = Command::new(self.binaries.path("muster-master"));
        command.arg("token").arg("--access-file").arg(self.path()).args(["--name", name, "--role", role]);
        let output = command.output().expect("muster-master can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
    }

    /// Binds a `user` or a `group` to a role.
    pub fn bind(&self, kind: &str, name: &str, role: &str) {
        let before = std::fs::read_to_string(self.path()).expect("the file can be read");
        let text = format!("{before}\n[[bindings]]\n{kind} = \"{name}\"\nrole = \"{role}\"\n");
        std::fs::write(self.path(), text).expect("a file can be written");
    }

    /// Options with which master and workers use it.
    pub fn asked_for(&self, mut options: Options) -> Options {
        let text = |path: PathBuf| path.to_str().expect("a path is text").to_owned();
        options.master_args.extend(["--access-file".to_owned(), text(self.path())]);
        options.worker.args.extend(["--token-file".to_owned(), text(self.worker_token())]);
        options
    }

    /// The file, for `--access-file`.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("access.toml")
    }

    fn worker_token(&self) -> PathBuf {
        self.dir.path().join("worker.token")
    }
}
