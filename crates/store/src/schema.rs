//! The schema of the records, and the migration from older ones.

use crate::codec::DecodeError;
use crate::key::Key;

/// Converts a record from one schema to the next. Keys do not change.
pub(crate) type Migration = fn(Key, Vec<u8>) -> Result<Vec<u8>, DecodeError>;

/// The known schemas: the first is 1, and each step leads to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    steps: &'static [Migration],
}

/// The schemas of this program. A schema that only adds fields needs no step, because readers know
/// the meaning of a missing field.
pub(crate) const CURRENT: Schema = Schema { steps: &[] };

/// The newest schema that this program reads, and the one that it writes.
pub(crate) const SCHEMA: u32 = CURRENT.version();

impl Schema {
    #[cfg(test)]
    pub(crate) const fn with_steps(steps: &'static [Migration]) -> Schema {
        Schema { steps }
    }

    /// The newest schema.
    pub(crate) const fn version(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "a handful")]
        let steps = self.steps.len() as u32;
        1 + steps
    }

    /// Migrates a record from an older schema to the newest.
    pub(crate) fn lift(&self, from: u32, key: Key, value: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
        let done = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        self.steps.iter().skip(done).try_fold(value, |value, step| step(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::DriverUid;

    #[test]
    fn a_record_goes_through_every_step_that_it_has_not_seen() {
        fn append<const LETTER: u8>(_: Key, mut value: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
            value.push(LETTER);
            Ok(value)
        }
        let schema = Schema::with_steps(&[append::<b'2'>, append::<b'3'>]);
        assert_eq!(schema.version(), 3);
        let lift = |from| schema.lift(from, Key::Driver(DriverUid(1)), b"v".to_vec()).unwrap();
        assert_eq!([lift(1), lift(2), lift(3)], [b"v23".to_vec(), b"v3".to_vec(), b"v".to_vec()]);
    }
}
