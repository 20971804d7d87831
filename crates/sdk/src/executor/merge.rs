//! The values of each key that a task has read, brought together. Keys are given in the order of
//! their encodings, so that a task which runs again makes the same.

use super::output::{CombineValues, KeyTable};
use crate::TaskError;
use crate::record::{DataRecord, RecordTaker, put_varint};

fn pair<'a>(record: &DataRecord<'a>) -> Result<(&'a [u8], &'a [u8]), TaskError> {
    record.pair().ok_or_else(|| TaskError::for_ever("a record that was kept has no key"))
}

/// The keys of a table with their values, in order.
fn in_order<V>(table: KeyTable<V>) -> Vec<(Box<[u8]>, V)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    entries
}

fn give(taker: &mut RecordTaker<'_>, space: &mut Vec<u8>, key: &[u8], parts: &[&[u8]]) -> Result<(), TaskError> {
    space.clear();
    space.extend_from_slice(key);
    parts.iter().for_each(|part| space.extend_from_slice(part));
    taker(DataRecord { bytes: space, key_length: Some(key.len()) })
}

/// One value for each key, made of two until one is left.
pub(super) struct Reductions<'a> {
    combine: Box<CombineValues<'a>>,
    values: KeyTable<Vec<u8>>,
}

impl<'a> Reductions<'a> {
    pub(super) fn new(combine: impl Fn(&[u8], &[u8]) -> Result<Vec<u8>, TaskError> + 'a) -> Reductions<'a> {
        Reductions { combine: Box::new(combine), values: KeyTable::default() }
    }

    pub(super) fn add(&mut self, record: DataRecord<'_>) -> Result<(), TaskError> {
        let (key, value) = pair(&record)?;
        match self.values.get_mut(key) {
            Some(known) => *known = (self.combine)(known, value)?,
            None => drop(self.values.insert(key.into(), value.to_vec())),
        }
        Ok(())
    }

    pub(super) fn give(self, taker: &mut RecordTaker<'_>) -> Result<(), TaskError> {
        let mut space = Vec::new();
        in_order(self.values).iter().try_for_each(|(key, value)| give(taker, &mut space, key, &[value]))
    }
}

/// All values of each key, by the tasks that made them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: KeyTable<Vec<GroupedValues>>,
}

/// Values of one task that came together.
#[derive(Debug)]
struct GroupedValues {
    partition: u32,
    count: u64,
    bytes: Vec<u8>,
}

impl Groups {
    pub(super) fn add(&mut self, partition: u32, record: DataRecord<'_>) -> Result<(), TaskError> {
        let (key, value) = pair(&record)?;
        let group = match self.groups.get_mut(key) {
            Some(group) => group,
            None => self.groups.entry(key.into()).or_default(),
        };
        match group.last_mut().filter(|last| last.partition == partition) {
            Some(last) => {
                last.count += 1;
                last.bytes.extend_from_slice(value);
            }
            None => group.push(GroupedValues { partition, count: 1, bytes: value.to_vec() }),
        }
        Ok(())
    }

    pub(super) fn give(self, taker: &mut RecordTaker<'_>) -> Result<(), TaskError> {
        let mut space = Vec::new();
        for (key, mut group) in in_order(self.groups) {
            // They came in the order in which their tasks were read, and those of one task in
            // theirs.
            group.sort_by_key(|values| values.partition);
            let mut length = Vec::new();
            put_varint(&mut length, group.iter().map(|values| values.count).sum());
            let parts = std::iter::once(length.as_slice()).chain(group.iter().map(|values| values.bytes.as_slice()));
            give(taker, &mut space, &key, &parts.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// Values of one key with the tasks that made them.
type SideValues = Vec<(u32, Box<[u8]>)>;

/// The values of each key from two stages, of which the first is read before the second.
#[derive(Debug, Default)]
pub(super) struct Joins {
    keys: KeyTable<(SideValues, SideValues)>,
}

impl Joins {
    pub(super) fn add(&mut self, parent: usize, partition: u32, record: DataRecord<'_>) -> Result<(), TaskError> {
        let (key, value) = pair(&record)?;
        match (self.keys.get_mut(key), parent) {
            (Some((one, _)), 0) => one.push((partition, value.into())),
            (Some((_, other)), _) => other.push((partition, value.into())),
            (None, 0) => drop(self.keys.insert(key.into(), (vec![(partition, value.into())], Vec::new()))),
            // It meets nothing.
            (None, _) => {}
        }
        Ok(())
    }

    pub(super) fn give(self, taker: &mut RecordTaker<'_>) -> Result<(), TaskError> {
        let mut space = Vec::new();
        for (key, (mut one, mut other)) in in_order(self.keys) {
            one.sort_by_key(|(partition, _)| *partition);
            other.sort_by_key(|(partition, _)| *partition);
            for (_, first) in &one {
                for (_, second) in &other {
                    give(taker, &mut space, &key, &[first, second])?;
                }
            }
        }
        Ok(())
    }
}
