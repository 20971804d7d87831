//! Collections, taken apart.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::{RecordError, RecordTaker, give_one};

/// Takes a collection apart.
pub(super) struct ElementSerializer<'a, 'b> {
    pub(super) buffer: Vec<u8>,
    pub(super) taker: &'a mut RecordTaker<'b>,
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
