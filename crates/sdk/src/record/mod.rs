//! Records: the elements of datasets, as they travel. A plan knows no types: a value is cut where
//! its own encoding has a boundary, which is between the two elements of a pair, and between the
//! elements of a collection.

mod elements;
mod encode;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use serde::{Serialize, ser};

use crate::TaskError;
use elements::ElementSerializer;
pub(crate) use encode::encode_record;

/// A collection whose elements become the records of a dataset.
pub trait Collection {
    /// An element.
    type Item;
}

impl<T> Collection for Vec<T> {
    type Item = T;
}

impl<T> Collection for VecDeque<T> {
    type Item = T;
}

impl<T> Collection for Option<T> {
    type Item = T;
}

impl<T> Collection for BTreeSet<T> {
    type Item = T;
}

impl<T, S> Collection for HashSet<T, S> {
    type Item = T;
}

impl<K, V> Collection for BTreeMap<K, V> {
    type Item = (K, V);
}

impl<K, V, S> Collection for HashMap<K, V, S> {
    type Item = (K, V);
}

/// A record as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataRecord<'a> {
    pub(crate) bytes: &'a [u8],
    /// Of a pair: how many of the bytes are the key's.
    pub(crate) key_length: Option<usize>,
}

impl<'a> DataRecord<'a> {
    /// The key and the value of a pair.
    pub(crate) fn pair(&self) -> Option<(&'a [u8], &'a [u8])> {
        self.key_length.and_then(|at| self.bytes.split_at_checked(at))
    }
}

/// What takes records.
pub(crate) type RecordTaker<'a> = dyn FnMut(DataRecord<'_>) -> Result<(), TaskError> + 'a;

/// How many records a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordShape {
    /// One.
    Value,
    /// Each element of the collection.
    Elements,
}

/// Why a value did not become records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// It cannot be encoded.
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
    /// It cannot be encoded, as it says itself.
    #[error("{0}")]
    Custom(String),
    /// They were not taken.
    #[error("{0}")]
    Taker(TaskError),
}

impl ser::Error for RecordError {
    fn custom<T: fmt::Display>(message: T) -> RecordError {
        RecordError::Custom(message.to_string())
    }
}

/// Gives a value as records.
pub(crate) fn give_records<T: Serialize>(
    value: &T,
    shape: RecordShape,
    taker: &mut RecordTaker<'_>,
) -> Result<(), RecordError> {
    let mut buffer = Vec::new();
    match shape {
        RecordShape::Value => give_one(value, &mut buffer, taker),
        RecordShape::Elements => value.serialize(ElementSerializer { buffer, taker }),
    }
}

fn give_one<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut Vec<u8>,
    taker: &mut RecordTaker<'_>,
) -> Result<(), RecordError> {
    let key_length = encode_record(value, buffer)?;
    taker(DataRecord { bytes: buffer, key_length }).map_err(RecordError::Taker)
}

/// Appends a record to others: its length, with the length of its key if it has one.
pub(crate) fn put_record(buffer: &mut Vec<u8>, record: DataRecord<'_>) {
    let length = (record.bytes.len() as u64) << 1;
    match record.key_length {
        Some(key) => {
            put_varint(buffer, length | 1);
            put_varint(buffer, key as u64);
        }
        None => put_varint(buffer, length),
    }
    buffer.extend_from_slice(record.bytes);
}

/// Takes the next record. `None` at the end, and when what follows is no record: then something is
/// left.
pub(crate) fn take_record<'a>(data: &mut &'a [u8]) -> Option<DataRecord<'a>> {
    let mut rest = *data;
    let head = take_varint(&mut rest)?;
    let key_length = if head & 1 == 1 { Some(usize::try_from(take_varint(&mut rest)?).ok()?) } else { None };
    let (bytes, rest) = rest.split_at_checked(usize::try_from(head >> 1).ok()?)?;
    *data = rest;
    Some(DataRecord { bytes, key_length })
}

/// Numbers are written as postcard writes them: 7 bits in each byte, the lowest first.
pub(crate) fn put_varint(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    buffer.push(number.to_le_bytes()[0]);
}

fn take_varint(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Named {
        a: u8,
        b: String,
    }

    #[derive(Serialize)]
    enum Variants {
        Unit,
        New(u64),
        Tuple(u8, i32),
        Struct { a: Option<u8> },
    }

    fn same<T: Serialize>(value: T, key: Option<usize>) {
        let mut buffer = vec![9];
        let key_length = encode_record(&value, &mut buffer).unwrap();
        assert_eq!((buffer, key_length), (postcard::to_stdvec(&value).unwrap(), key));
    }

    #[test]
    fn records_are_encoded_as_postcard_does_and_pairs_have_keys() {
        same(("a key", 7u64), Some(6));
        same((300u16, ()), Some(2));
        same(((1u8, 2u8), "x"), Some(2));
        same((1u8, 2u8, 3u8), None);
        same([1u8, 2], Some(1));
        same((), None);
        same(-5i64, None);
        same(1.5f32, None);
        same('ü', None);
        same("text", None);
        same(vec![1u32, 500, 7], None);
        same(BTreeMap::from([("a", 1u8), ("b", 2)]), None);
        same(Some(Named { a: 1, b: "b".to_owned() }), None);
        same(Named { a: 1, b: "b".to_owned() }, None);
        same(None::<u8>, None);
        for variant in [Variants::Unit, Variants::New(300), Variants::Tuple(1, -1), Variants::Struct { a: Some(3) }] {
            same(variant, None);
        }
    }

    /// The bytes of a record, and the length of its key.
    type TakenRecord = (Vec<u8>, Option<usize>);

    fn elements<T: Serialize>(value: T) -> Result<Vec<TakenRecord>, String> {
        let mut found = Vec::new();
        let mut take = |record: DataRecord<'_>| {
            found.push((record.bytes.to_vec(), record.key_length));
            Ok(())
        };
        give_records(&value, RecordShape::Elements, &mut take).map_err(|error| error.to_string())?;
        Ok(found)
    }

    #[test]
    fn collections_are_taken_apart() {
        assert_eq!(elements(vec![1u8, 2]).unwrap(), [(vec![1], None), (vec![2], None)]);
        assert_eq!(elements(vec![("a", 1u8)]).unwrap(), [(vec![1, b'a', 1], Some(2))]);
        assert_eq!(elements(HashMap::from([("a", 1u8)])).unwrap(), [(vec![1, b'a', 1], Some(2))]);
        assert_eq!(elements(Some(3u8)).unwrap(), [(vec![3], None)]);
        assert_eq!(elements(None::<u8>).unwrap(), []);
        assert!(elements("text").unwrap_err().contains("not written as a collection"));
        assert!(elements((1u8, 2u8)).is_err());
    }

    #[test]
    fn records_are_read_as_they_were_put() {
        let mut data = Vec::new();
        let long = vec![7; 300];
        let records = [
            DataRecord { bytes: b"", key_length: None },
            DataRecord { bytes: b"ab", key_length: Some(1) },
            DataRecord { bytes: &long, key_length: Some(300) },
            DataRecord { bytes: &long, key_length: None },
        ];
        records.iter().for_each(|record| put_record(&mut data, *record));
        let mut rest = data.as_slice();
        let found: Vec<_> = std::iter::from_fn(|| take_record(&mut rest)).collect();
        assert_eq!(found, records);
        assert!(rest.is_empty());
        let mut cut = &data[..data.len() - 1];
        assert_eq!(std::iter::from_fn(|| take_record(&mut cut)).count(), 3);
        assert!(!cut.is_empty(), "something is left");
        assert_eq!(records[1].pair(), Some((b"a".as_slice(), b"b".as_slice())));
        assert_eq!(DataRecord { bytes: b"a", key_length: Some(2) }.pair(), None);
    }
}
