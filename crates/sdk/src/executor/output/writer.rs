//! Makes an output: records are put into the buckets of their readers by the hashes of their keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::store::{KeptOutput, OutputStore};
use crate::TaskError;
use crate::record::{DataRecord, put_record};

/// Records of one reader are closed to a block at this size: large enough to compress well, small
/// enough that a reader of many sources holds little.
const BLOCK_BYTES: usize = 256 << 10;
/// All records of one task that are in no block yet. With many readers their blocks are smaller.
const OPEN_BYTES: usize = 16 << 20;
/// Keys and values that are combined before they are put into buckets.
const COMBINE_BYTES: usize = 16 << 20;

/// Values by key, in a table that does not depend on the process.
pub(crate) type KeyTable<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<KeyHasher>>;

/// Hashes keys with XXH3.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_usize(&mut self, number: usize) {
        self.0 ^= number as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Makes one value of two.
pub(crate) type CombineValues<'a> = dyn Fn(&[u8], &[u8]) -> Result<Vec<u8>, TaskError> + 'a;

/// Makes the output of one task.
pub(crate) struct OutputWriter<'a> {
    store: &'a OutputStore,
    stage: u64,
    output: KeptOutput,
    open: Vec<Vec<u8>>,
    open_bytes: usize,
    combine: Option<Box<CombineValues<'a>>>,
    combined: KeyTable<Vec<u8>>,
    combined_bytes: usize,
}

impl<'a> OutputWriter<'a> {
    /// Of an attempt of a task of a stage.
    pub(crate) fn new(
        store: &'a OutputStore,
        (stage, attempt): (u64, u64),
        readers: u32,
        combine: Option<Box<CombineValues<'a>>>,
    ) -> OutputWriter<'a> {
        OutputWriter {
            store,
            stage,
            output: store.begin(attempt),
            open: vec![Vec::new(); readers as usize],
            open_bytes: 0,
            combine,
            combined: KeyTable::default(),
            combined_bytes: 0,
        }
    }

    /// Takes a pair.
    pub(crate) fn add(&mut self, record: DataRecord<'_>) -> Result<(), TaskError> {
        let Some((key, value)) = record.pair() else {
            return Err(TaskError::for_ever("a record has no key: it is not written as a pair"));
        };
        let Some(combine) = &self.combine else { return self.put(key, value) };
        match self.combined.get_mut(key) {
            Some(known) => {
                let joined = combine(known, value)?;
                self.combined_bytes = (self.combined_bytes + joined.len()).saturating_sub(known.len());
                *known = joined;
            }
            None => {
                self.combined_bytes += record.bytes.len() + ENTRY_BYTES;
                self.combined.insert(key.into(), value.to_vec());
            }
        }
        if self.combined_bytes > COMBINE_BYTES { self.put_combined() } else { Ok(()) }
    }

    /// Puts what was combined into buckets, in an order that is the same every time.
    fn put_combined(&mut self) -> Result<(), TaskError> {
        self.combined_bytes = 0;
        let mut combined: Vec<_> = self.combined.drain().collect();
        combined.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        combined.iter().try_for_each(|(key, value)| self.put(key, value))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TaskError> {
        // Every executor of this program finds the same reader.
        let readers = self.open.len().max(1) as u64;
        let reader = usize::try_from(xxh3_64(key) % readers).unwrap_or(0);
        let Some(open) = self.open.get_mut(reader) else { return Ok(()) };
        let before = open.len();
        put_pair(open, key, value);
        let after = open.len();
        self.open_bytes += after - before;
        if after >= BLOCK_BYTES {
            self.close_block(reader)
        } else if self.open_bytes >= OPEN_BYTES {
            (0..self.open.len()).try_for_each(|reader| self.close_block(reader))
        } else {
            Ok(())
        }
    }

    fn close_block(&mut self, reader: usize) -> Result<(), TaskError> {
        let Some(open) = self.open.get_mut(reader).filter(|open| !open.is_empty()) else { return Ok(()) };
        let number = u32::try_from(reader).unwrap_or(u32::MAX);
        self.store.add_block(self.stage, &mut self.output, number, open)?;
        self.open_bytes -= open.len();
        open.clear();
        Ok(())
    }

    /// Ends the output. Nobody reads it before it is inserted into the store.
    pub(crate) fn finish(mut self) -> Result<KeptOutput, TaskError> {
        self.put_combined()?;
        (0..self.open.len()).try_for_each(|reader| self.close_block(reader))?;
        self.output.finish();
        Ok(self.output)
    }
}

/// What a table has beside keys and values, for each.
const ENTRY_BYTES: usize = 48;

fn put_pair(buffer: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let bytes = [key, value].concat();
    put_record(buffer, DataRecord { bytes: &bytes, key_length: Some(key.len()) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::take_record;

    fn written(records: &[(&str, u8)], readers: u32, combine: bool) -> Vec<Vec<(String, u8)>> {
        let folder = tempfile::tempdir().unwrap();
        let store = OutputStore::new(folder.path().to_owned());
        let sum = |one: &[u8], other: &[u8]| Ok(vec![one[0] + other[0]]);
        let combine = combine.then(|| Box::new(sum) as Box<CombineValues<'_>>);
        let mut writer = OutputWriter::new(&store, (1, 5), readers, combine);
        for (key, value) in records {
            let bytes = [key.as_bytes(), &[*value]].concat();
            writer.add(DataRecord { bytes: &bytes, key_length: Some(key.len()) }).unwrap();
        }
        let output = writer.finish().unwrap();
        let read = |reader| {
            let mut found = Vec::new();
            for number in 0..output.blocks(reader) {
                let (header, data) = output.read(reader, number).unwrap().unwrap();
                let mut space = Vec::new();
                let mut plain = header.unpack(&data, &mut space).unwrap();
                while let Some(record) = take_record(&mut plain) {
                    let (key, value) = record.pair().unwrap();
                    found.push((String::from_utf8(key.to_vec()).unwrap(), value[0]));
                }
            }
            found
        };
        (0..readers).map(read).collect()
    }

    #[test]
    fn each_key_has_one_reader_and_values_are_combined_where_they_are_made() {
        let records = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("d", 6), ("a", 7)];
        let plain = written(&records, 3, false);
        assert_eq!(plain.concat().len(), records.len());
        for key in ["a", "b", "c", "d"] {
            let readers = plain.iter().filter(|found| found.iter().any(|(other, _)| other == key)).count();
            assert_eq!(readers, 1, "{key}");
        }
        let mut combined = written(&records, 3, true).concat();
        combined.sort();
        let expected = [("a", 11), ("b", 7), ("c", 4), ("d", 6)].map(|(key, sum)| (key.to_owned(), sum));
        assert_eq!(combined, expected);
    }

    #[test]
    fn a_record_without_a_key_is_refused() {
        let store = OutputStore::new("/nonexistent".into());
        let mut writer = OutputWriter::new(&store, (1, 5), 1, None);
        let error = writer.add(DataRecord { bytes: b"a", key_length: None }).unwrap_err();
        assert!(error.is_for_ever() && error.to_string().contains("has no key"), "{error}");
    }
}
