//! A checksum of each record, and the sum of all checksums.
//!
//! The sum is stored with every transaction. A start reads all records anyway. If they do not have
//! the stored sum, a record is missing, has returned, or differs from what was written, even if the
//! database itself has not noticed it.

use std::collections::BTreeMap;

use crate::key::Key;
use crate::splitmix;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Checksum {
    /// Sum of the digests, modulo 2^64.
    pub(super) digest: u64,
    /// Number of records.
    pub(super) count: u64,
}

/// The checksums of all records; about 50 bytes per record.
#[derive(Debug, Default)]
pub(super) struct RecordChecksums {
    checksums: BTreeMap<Key, u32>,
    sum: Checksum,
}

impl RecordChecksums {
    /// Records the new value of a record.
    pub(super) fn put(&mut self, key: Key, key_bytes: &[u8], value: &[u8]) {
        let checksum = checksum(key_bytes, value);
        match self.checksums.insert(key, checksum) {
            Some(before) => self.sum.digest = self.sum.digest.wrapping_sub(digest(before)),
            None => self.sum.count += 1,
        }
        self.sum.digest = self.sum.digest.wrapping_add(digest(checksum));
    }

    /// Records the deletion of a record.
    pub(super) fn delete(&mut self, key: Key) {
        if let Some(before) = self.checksums.remove(&key) {
            self.sum.digest = self.sum.digest.wrapping_sub(digest(before));
            self.sum.count -= 1;
        }
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> Checksum {
        self.sum
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// Spreads a checksum over 64 bits (SplitMix64). Checksums are linear, so two faults could
/// otherwise cancel out in a sum.
fn digest(checksum: u32) -> u64 {
    splitmix::mix(u64::from(checksum).wrapping_add(splitmix::STEP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::DriverUid;

    fn put(checksums: &mut RecordChecksums, uid: u128, value: &[u8]) {
        let key = Key::Driver(DriverUid(uid));
        checksums.put(key, &key.to_bytes(), value);
    }

    #[test]
    fn the_sum_tells_what_is_kept_and_not_how_it_came_about() {
        let mut long = RecordChecksums::default();
        put(&mut long, 1, b"old");
        put(&mut long, 2, b"gone");
        put(&mut long, 1, b"new");
        long.delete(Key::Driver(DriverUid(2)));
        long.delete(Key::Driver(DriverUid(3)));
        let mut short = RecordChecksums::default();
        put(&mut short, 1, b"new");
        assert_eq!(long.sum(), short.sum());
    }

    #[test]
    fn an_older_a_missing_and_an_exchanged_record_change_the_sum() {
        let sum = |records: &[(u128, &[u8])]| {
            let mut checksums = RecordChecksums::default();
            records.iter().for_each(|(uid, value)| put(&mut checksums, *uid, value));
            checksums.sum()
        };
        let right = sum(&[(1, b"a"), (2, b"b")]);
        for wrong in [&[(1, &b"a"[..]), (2, b"c")][..], &[(1, b"a")], &[(1, b"b"), (2, b"a")]] {
            assert_ne!(sum(wrong), right);
        }
    }
}
