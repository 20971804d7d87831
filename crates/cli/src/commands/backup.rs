//! `muster backup`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use muster_client::CallError;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::args::BackupArgs;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{size, tell};
use crate::progress::Progress;

/// Writes everything that is durable into a file, or to standard output.
pub(super) async fn backup(master: MasterClient, args: BackupArgs) -> Result<(), CommandFailure> {
    let to_stdout = args.file.as_os_str() == "-";
    let bytes = if to_stdout {
        copy(&master, &mut io::stdout().lock(), &CommandFailure::Output).await?
    } else {
        to_file(&master, &args.file, args.force).await?
    };
    let place = if to_stdout { "standard output".to_owned() } else { args.file.display().to_string() };
    tell(&format!("{} written to {place}; keep it as you keep secrets", size(bytes)));
    Ok(())
}

async fn to_file(master: &MasterClient, path: &Path, force: bool) -> Result<u64, CommandFailure> {
    let failed = |error| CommandFailure::File(path.to_path_buf(), error);
    if !force && path.symlink_metadata().is_ok() {
        return Err(CommandFailure::Exists(path.to_path_buf()));
    }
    let mut draft = PartialFile::beside(path).map_err(failed)?;
    let bytes = copy(master, &mut draft.file, &failed).await?;
    draft.publish(path, force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CommandFailure::Exists(path.to_path_buf()),
        _ => failed(error),
    })?;
    Ok(bytes)
}

/// Copies the stream to its end and returns its length in bytes.
async fn copy(
    master: &MasterClient,
    to: &mut impl Write,
    failed: &impl Fn(io::Error) -> CommandFailure,
) -> Result<u64, CommandFailure> {
    let progress = Progress::begin("asking for the backup");
    let mut pieces = master.ask(master.client().backup()).await?;
    let mut bytes: u64 = 0;
    let broken = |status| master.read_failure(CallError::of_read("Backup", status));
    while let Some(piece) = pieces.message().await.map_err(broken)? {
        to.write_all(&piece.data).map_err(failed)?;
        bytes = bytes.saturating_add(piece.data.len() as u64);
        progress.say(format!("{} so far", size(bytes)));
    }
    to.flush().map_err(failed)?;
    Ok(bytes)
}

/// An incomplete file beside its final path. It is removed when it is dropped.
#[derive(Debug)]
struct PartialFile {
    path: PathBuf,
    file: File,
}

impl PartialFile {
    fn beside(path: &Path) -> io::Result<PartialFile> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let path = path.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(PartialFile { path, file })
    }

    /// Renames the file to its final path, after a sync to disk.
    fn publish(&self, path: &Path, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        match rename_to_new(&self.path, path) {
            Err(Errno::EXIST) if replace => fs::rename(&self.path, path)?,
            // Not every file system supports `NOREPLACE`; `to_file` has already looked for an
            // existing file.
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(&self.path, path)?,
            renamed => renamed?,
        }
        muster_os::file::sync_name(path)
    }
}

fn rename_to_new(from: &Path, to: &Path) -> Result<(), Errno> {
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}
