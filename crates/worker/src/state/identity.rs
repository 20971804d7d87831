//! Who this worker is: a random uid in the state directory, and the machine and boot that it is on.

use std::path::Path;
use std::{fs, io};

use muster_types::WorkerUid;

use muster_agent::runner_protocol::IDENTITY_NAME;

use super::StateError;
use super::memory::write_synced;

/// Who this worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The worker's uid.
    pub uid: WorkerUid,
    /// The id of the present machine.
    pub machine_id: String,
    /// The id of the present boot.
    pub boot_id: String,
    /// The machine on which the state directory was made, if it is another one: the directory was
    /// moved, or cloned. Only a master can tell which, since it would hear both workers.
    pub made_on: Option<String>,
}

impl Identity {
    /// Reads the identity, or makes a new one in a directory that has none.
    pub fn load_or_make(directory: &Path) -> Result<Identity, StateError> {
        let path = directory.join(IDENTITY_NAME);
        let machine_id = machine_id();
        let origin = origin(directory)?;
        let boot_id = muster_os::proc::boot_id().unwrap_or_default();
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut lines = text.lines();
                let uid = lines.next().and_then(|line| line.parse().ok()).ok_or(StateError::Garbled(path))?;
                let made_on = lines.next().unwrap_or_default();
                // A copy would start a newer runner under the original's uid, and so claim that the
                // original's trees are gone.
                if lines.next().is_some_and(|made_as| made_as != origin) {
                    return Err(StateError::Copied(directory.to_path_buf()));
                }
                let made_on = (made_on != machine_id).then(|| made_on.to_owned());
                Ok(Identity { uid, machine_id, boot_id, made_on })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(StateError::Random)?;
                let uid = WorkerUid(u128::from_be_bytes(bytes));
                write_synced(&path, &format!("{uid}\n{machine_id}\n{origin}\n"))?;
                Ok(Identity { uid, machine_id, boot_id, made_on: None })
            }
            Err(error) => Err(StateError::Read(path, error)),
        }
    }
}

/// What tells a directory from a copy of it, and stays when it is moved: its inode, and its time of
/// birth where the file system keeps that, since inodes are used again.
fn origin(directory: &Path) -> Result<String, StateError> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let read = |error: rustix::io::Errno| StateError::Read(directory.to_path_buf(), error.into());
    let status = statx(CWD, directory, AtFlags::empty(), StatxFlags::BTIME | StatxFlags::INO).map_err(read)?;
    let born = StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::BTIME).then_some(status.stx_btime);
    let born = born.map_or_else(String::new, |time| format!(" born {}.{:09}", time.tv_sec, time.tv_nsec));
    Ok(format!("inode {}{born}", status.stx_ino))
}

/// The machine's id, or its name if it has none, as in small containers. At most 128 bytes, as on
/// the wire.
fn machine_id() -> String {
    let read = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut id = read("/etc/machine-id")
        .or_else(|| read("/var/lib/dbus/machine-id"))
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let mut end = id.len().min(128);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    id.truncate(end);
    id
}

#[cfg(test)]
mod tests {
    use muster_testenv::SmallDisk;

    use super::*;

    #[test]
    fn an_identity_stays_and_a_wiped_directory_is_a_new_worker() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Identity::load_or_make(directory.path()).expect("made");
        assert_eq!(Identity::load_or_make(directory.path()).expect("read"), first);
        fs::remove_file(directory.path().join("identity")).expect("wiped");
        assert_ne!(Identity::load_or_make(directory.path()).expect("made anew").uid, first.uid);
    }

    #[test]
    fn on_a_full_disk_there_is_no_identity_or_a_whole_one() {
        let Some(disk) = SmallDisk::mount(64) else { return };
        disk.fill(0);
        assert!(matches!(Identity::load_or_make(disk.path()), Err(StateError::Write(..))));
        disk.make_room();
        let made = Identity::load_or_make(disk.path()).expect("made");
        disk.fill(0);
        assert_eq!(Identity::load_or_make(disk.path()).expect("read"), made);
    }

    #[test]
    fn a_moved_directory_is_the_same_worker_and_a_copied_one_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let (first, moved, copy) =
            (parent.path().join("first"), parent.path().join("moved"), parent.path().join("copy"));
        fs::create_dir(&first).expect("made");
        let identity = Identity::load_or_make(&first).expect("made");
        fs::rename(&first, &moved).expect("moved");
        assert_eq!(Identity::load_or_make(&moved).expect("read"), identity);
        fs::create_dir(&copy).expect("made");
        fs::copy(moved.join("identity"), copy.join("identity")).expect("copied");
        assert!(matches!(Identity::load_or_make(&copy), Err(StateError::Copied(_))));
    }

    #[test]
    fn another_machine_is_noticed_and_a_garbled_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("identity");
        fs::write(&path, format!("{}\nelsewhere\n", WorkerUid(7))).expect("written");
        let identity = Identity::load_or_make(directory.path()).expect("read");
        assert_eq!((identity.uid, identity.made_on.as_deref()), (WorkerUid(7), Some("elsewhere")));
        fs::write(&path, "nonsense").expect("written");
        assert!(matches!(Identity::load_or_make(directory.path()), Err(StateError::Garbled(_))));
    }
}
