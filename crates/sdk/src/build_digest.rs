//! The digest of this program. Driver and executors compare it: a name of a function and its
//! encoding mean the same only within one build.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

/// What driver and executors have in common.
#[derive(Debug, Clone)]
pub(crate) struct ExecutorBuild {
    /// The digest of the program, or of what stands for it.
    pub(crate) digest: [u8; 32],
    /// What interprets functions, with its version; empty where they are the program's own.
    pub(crate) interpreter: Arc<str>,
}

impl ExecutorBuild {
    /// That of a program with functions of its own.
    pub(crate) fn of_digest(digest: [u8; 32]) -> ExecutorBuild {
        ExecutorBuild { digest, interpreter: "".into() }
    }

    /// That of a library which an interpreter has loaded.
    pub(crate) fn of_library(file: &Path, interpreter: &str) -> io::Result<ExecutorBuild> {
        Ok(ExecutorBuild { digest: digest_of(File::open(file)?)?, interpreter: interpreter.into() })
    }
}

/// The SHA-256 of the program that runs.
pub(crate) fn of_this_program() -> io::Result<[u8; 32]> {
    // The file that runs, even if another one has its path by now.
    digest_of(File::open("/proc/self/exe")?)
}

fn digest_of(mut file: impl Read) -> io::Result<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => context.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

/// A digest for people.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha256() {
        let abc = digest_of(&b"abc"[..]).unwrap();
        assert_eq!(hex(&abc), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
