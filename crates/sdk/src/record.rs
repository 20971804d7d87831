//! Records: the elements of datasets, as they travel. A plan knows no types: a value is cut where
//! its own encoding has a boundary, which is between the two elements of a pair, and between the
//! elements of a collection.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use crate::TaskError;

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

/// Encodes a value as postcard does. Returns the length of the key, if it is a pair.
pub(crate) fn encode_record<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut Vec<u8>,
) -> Result<Option<usize>, RecordError> {
    buffer.clear();
    let mut writer = RecordWriter { buffer, elements: None, key_length: None };
    value.serialize(&mut writer)?;
    Ok(writer.key_length)
}

/// Encodes as postcard does: all below the outermost value is postcard's own work. A tuple and a
/// structure are their elements, one after the other; a sequence begins with its length; a variant
/// with its number.
struct RecordWriter<'a> {
    buffer: &'a mut Vec<u8>,
    /// Elements of a pair that were written.
    elements: Option<usize>,
    key_length: Option<usize>,
}

impl RecordWriter<'_> {
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        *self.buffer = postcard::to_extend(value, std::mem::take(self.buffer))?;
        Ok(())
    }

    fn write_length(&mut self, length: Option<usize>) -> Result<(), RecordError> {
        let length = length.ok_or(postcard::Error::SerializeSeqLengthUnknown)?;
        self.write(&length)
    }
}

/// Values that have nothing inside.
macro_rules! write_plainly {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), RecordError> {
            self.write(&value)
        })*
    };
}

impl Serializer for &mut RecordWriter<'_> {
    type Ok = ();
    type Error = RecordError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    write_plainly!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
    );

    fn serialize_none(self) -> Result<(), RecordError> {
        self.buffer.push(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), RecordError> {
        self.buffer.push(1);
        self.write(value)
    }

    fn serialize_unit(self) -> Result<(), RecordError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), RecordError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, number: u32, _: &'static str) -> Result<(), RecordError> {
        self.write(&number)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), RecordError> {
        self.write(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), RecordError> {
        self.write(&number)?;
        self.write(value)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, RecordError> {
        self.write_length(length)?;
        Ok(self)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, RecordError> {
        self.elements = (length == 2).then_some(0);
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, RecordError> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, RecordError> {
        self.write(&number)?;
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, RecordError> {
        self.write_length(length)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, RecordError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, RecordError> {
        self.write(&number)?;
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Elements that follow each other.
macro_rules! write_elements {
    ($($trait:ident::$method:ident),* $(,)?) => {
        $(impl ser::$trait for &mut RecordWriter<'_> {
            type Ok = ();
            type Error = RecordError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
                self.write(value)
            }

            fn end(self) -> Result<(), RecordError> {
                Ok(())
            }
        })*
    };
}

write_elements!(
    SerializeSeq::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// The fields of structures, of which the names do not travel.
macro_rules! write_fields {
    ($($trait:ident),* $(,)?) => {
        $(impl ser::$trait for &mut RecordWriter<'_> {
            type Ok = ();
            type Error = RecordError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), RecordError> {
                self.write(value)
            }

            fn end(self) -> Result<(), RecordError> {
                Ok(())
            }
        })*
    };
}

write_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeTuple for &mut RecordWriter<'_> {
    type Ok = ();
    type Error = RecordError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        self.write(value)?;
        if self.elements.take() == Some(0) {
            self.key_length = Some(self.buffer.len());
        }
        Ok(())
    }

    fn end(self) -> Result<(), RecordError> {
        Ok(())
    }
}

impl ser::SerializeMap for &mut RecordWriter<'_> {
    type Ok = ();
    type Error = RecordError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RecordError> {
        self.write(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        self.write(value)
    }

    fn end(self) -> Result<(), RecordError> {
        Ok(())
    }
}

/// Takes a collection apart.
struct ElementSerializer<'a, 'b> {
    buffer: Vec<u8>,
    taker: &'a mut RecordTaker<'b>,
}

fn no_collection() -> RecordError {
    RecordError::Custom("it is not written as a collection".to_owned())
}

/// Values that are no collections.
macro_rules! refuse {
    ($($method:ident($($type:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $type),*) -> Result<(), RecordError> {
            Err(no_collection())
        })*
    };
}

impl Serializer for ElementSerializer<'_, '_> {
    type Ok = ();
    type Error = RecordError;
    type SerializeSeq = Self;
    type SerializeTuple = ser::Impossible<(), RecordError>;
    type SerializeTupleStruct = ser::Impossible<(), RecordError>;
    type SerializeTupleVariant = ser::Impossible<(), RecordError>;
    type SerializeMap = Self;
    type SerializeStruct = ser::Impossible<(), RecordError>;
    type SerializeStructVariant = ser::Impossible<(), RecordError>;

    refuse!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit(),
        serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    );

    fn serialize_none(self) -> Result<(), RecordError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), RecordError> {
        give_one(value, &mut self.buffer, self.taker)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), RecordError> {
        Err(no_collection())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), RecordError> {
        Err(no_collection())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, RecordError> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, RecordError> {
        Err(no_collection())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, RecordError> {
        Err(no_collection())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, RecordError> {
        Err(no_collection())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, RecordError> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, RecordError> {
        Err(no_collection())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, RecordError> {
        Err(no_collection())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeSeq for ElementSerializer<'_, '_> {
    type Ok = ();
    type Error = RecordError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        give_one(value, &mut self.buffer, self.taker)
    }

    fn end(self) -> Result<(), RecordError> {
        Ok(())
    }
}

impl ser::SerializeMap for ElementSerializer<'_, '_> {
    type Ok = ();
    type Error = RecordError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), RecordError> {
        Err(RecordError::Custom("it gives its keys and values apart".to_owned()))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), RecordError> {
        Err(RecordError::Custom("it gives its keys and values apart".to_owned()))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), RecordError> {
        give_one(&(key, value), &mut self.buffer, self.taker)
    }

    fn end(self) -> Result<(), RecordError> {
        Ok(())
    }
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
