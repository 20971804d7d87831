//! Blocks: some records of one output for one reader, as they are kept and travel. A block is read
//! without any other one.

use bytes::Bytes;
use muster_proto::v1;
use v1::output_block::Codec;
use xxhash_rust::xxh3::xxh3_64;

/// A block as it is kept, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(super) codec: Codec,
    pub(super) plain_bytes: u32,
    pub(super) checksum: u64,
}

/// Why a block is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    /// It was changed since.
    #[error("its checksum is {found:016x} and should be {expected:016x}")]
    Checksum { expected: u64, found: u64 },
    /// It is sound, and makes no sense.
    #[error("it cannot be decompressed: {0}")]
    Codec(String),
}

/// Writes a block.
pub(super) fn pack(plain: &[u8], codec: Codec) -> (BlockHeader, Vec<u8>) {
    let compressed = match codec {
        Codec::Lz4 | Codec::Unspecified => Some(lz4_flex::block::compress(plain)),
        Codec::None => None,
    };
    // What does not become smaller only costs time to read.
    let (codec, data) = match compressed.filter(|data| data.len() < plain.len()) {
        Some(data) => (Codec::Lz4, data),
        None => (Codec::None, plain.to_vec()),
    };
    let plain_bytes = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    (BlockHeader { codec, plain_bytes, checksum: xxh3_64(&data) }, data)
}

impl BlockHeader {
    pub(super) fn of(block: &v1::OutputBlock) -> BlockHeader {
        BlockHeader { codec: block.codec(), plain_bytes: block.plain_bytes, checksum: block.checksum }
    }

    pub(super) fn with_data(self, partition: u32, task_attempt: u64, data: Bytes) -> v1::OutputBlock {
        let BlockHeader { codec, plain_bytes, checksum } = self;
        v1::OutputBlock { partition, codec: codec.into(), plain_bytes, checksum, data, task_attempt }
    }

    pub(super) fn check(&self, data: &[u8]) -> Result<(), BlockError> {
        let found = xxh3_64(data);
        let expected = self.checksum;
        (found == expected).then_some(()).ok_or(BlockError::Checksum { expected, found })
    }

    /// Reads a block that was checked.
    pub(super) fn unpack<'a>(&self, data: &'a [u8], space: &'a mut Vec<u8>) -> Result<&'a [u8], BlockError> {
        match self.codec {
            Codec::None => Ok(data),
            Codec::Lz4 => {
                space.resize(self.plain_bytes as usize, 0);
                let length = lz4_flex::block::decompress_into(data, space);
                let length = length.map_err(|error| BlockError::Codec(error.to_string()))?;
                space.get(..length).ok_or_else(|| BlockError::Codec("it is too long".to_owned()))
            }
            Codec::Unspecified => Err(BlockError::Codec("its codec is not known".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written_and_not_if_it_was_changed() {
        let compressible = b"again and ".repeat(100);
        for (plain, codec, kept) in [
            (compressible.as_slice(), Codec::Lz4, Codec::Lz4),
            (compressible.as_slice(), Codec::None, Codec::None),
            (b"short", Codec::Lz4, Codec::None),
        ] {
            let (header, mut data) = pack(plain, codec);
            assert_eq!(header.codec, kept);
            header.check(&data).unwrap();
            assert_eq!(header.unpack(&data, &mut Vec::new()).unwrap(), plain);
            data[0] ^= 1;
            assert!(matches!(header.check(&data), Err(BlockError::Checksum { .. })));
        }
        let (header, data) = pack(&compressible, Codec::Lz4);
        let shorter = BlockHeader { plain_bytes: header.plain_bytes - 1, ..header };
        assert!(matches!(shorter.unpack(&data, &mut Vec::new()), Err(BlockError::Codec(_))));
    }
}
