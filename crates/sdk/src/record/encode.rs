//! Values as records travel: as postcard writes them, with the end of a key.

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::RecordError;

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

/// Variants with several values, which follow the number.
macro_rules! write_variants {
    ($($method:ident),* $(,)?) => {
        $(fn $method(self, _: &'static str, number: u32, _: &'static str, _: usize) -> Result<Self, RecordError> {
            self.write(&number)?;
            Ok(self)
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

    write_variants!(serialize_tuple_variant, serialize_struct_variant);

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

    fn serialize_map(self, length: Option<usize>) -> Result<Self, RecordError> {
        self.write_length(length)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, RecordError> {
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
