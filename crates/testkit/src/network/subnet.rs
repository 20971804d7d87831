//! A number for the addresses of a cluster, which no other cluster on this machine uses now.

use std::fs::File;

/// Held until it is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub(super) struct Subnet {
    number: u8,
    _lock: File,
}

impl Subnet {
    /// Claims a free number.
    pub(super) fn claim() -> Subnet {
        // The folder is the same wherever temporary files of this run go, since it is shared with
        // other runs.
        let dir = std::path::Path::new("/tmp/muster-test-subnets");
        std::fs::create_dir_all(dir).expect("a folder can be made");
        for number in 1..=254 {
            let file = File::options().create(true).append(true).open(dir.join(number.to_string()));
            let lock = file.expect("a file can be made");
            if lock.try_lock().is_ok() {
                return Subnet { number, _lock: lock };
            }
        }
        panic!("254 clusters of tests run on this machine at once");
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }
}
