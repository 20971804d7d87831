//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// The programs that are shipped.
pub const BINARIES: [&str; 4] = ["muster", "muster-master", "muster-worker", "muster-runner"];

/// The folder that holds the four binaries: `MUSTER_BIN_DIR`, else the folder into which this
/// program was built.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Finds the folder.
    ///
    /// # Panics
    ///
    /// If a binary is missing: tests must fail then, and say what builds it.
    pub fn locate() -> Binaries {
        let dir = match std::env::var_os("MUSTER_BIN_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => built_into(),
        };
        let found = Binaries { dir };
        for name in BINARIES {
            let path = found.path(name);
            assert!(path.exists(), "{} is missing: run `make build` (or `make test`) first", path.display());
        }
        found
    }

    /// Path of one binary.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Path of an example, built beside the binaries.
    ///
    /// # Panics
    ///
    /// When it is missing.
    pub fn example(&self, name: &str) -> PathBuf {
        let path = self.dir.join("examples").join(name);
        assert!(path.exists(), "{} is missing: run `make test`, which builds the examples", path.display());
        path
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// `target/debug` for `target/debug/deps/test-1234` and for `target/debug/program`.
fn built_into() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    let dir = program.parent().expect("a program lies in a folder");
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => dir.parent().expect("it lies in the target folder").to_path_buf(),
        _ => dir.to_path_buf(),
    }
}
