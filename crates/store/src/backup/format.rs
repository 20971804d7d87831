//! The format of a backup: eight bytes that name it, then frames.
//!
//! ```text
//! "MUSTERB1"  h LENGTH BackupHeader  (r LENGTH BackupRecord)…  t LENGTH BackupTrailer
//! ```
//!
//! A length has four bytes in big-endian order. The trailer counts the records and carries a
//! checksum of all bytes before it, so that a truncated or changed file is refused.

use std::io::{self, Read};

use prost::Message;

use crate::codec::proto::{BackupHeader, BackupRecord, BackupTrailer};
use crate::key::Key;

const MAGIC: &[u8; 8] = b"MUSTERB1";
/// The version of the frames.
pub(super) const FORMAT: u32 = 1;
/// The longest frame, far above any record; a greater length is damage.
const MAX_FRAME: u32 = 64 << 20;

/// Makes the bytes of a backup.
pub(super) struct Encoder {
    checksum: crc32fast::Hasher,
    count: u64,
}

impl Encoder {
    /// The encoder, and the first bytes.
    pub(super) fn begin(header: &BackupHeader) -> (Encoder, Vec<u8>) {
        let mut encoder = Encoder { checksum: crc32fast::Hasher::new(), count: 0 };
        let mut bytes = MAGIC.to_vec();
        frame(&mut bytes, b'h', header);
        encoder.checksum.update(&bytes);
        (encoder, bytes)
    }

    /// Appends a record.
    pub(super) fn record(&mut self, bytes: &mut Vec<u8>, key: Key, value: Vec<u8>) {
        let begin = bytes.len();
        frame(bytes, b'r', &BackupRecord { key: key.to_bytes(), value });
        self.checksum.update(&bytes[begin..]);
        self.count += 1;
    }

    /// The last bytes.
    pub(super) fn end(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(&mut bytes, b't', &BackupTrailer { count: self.count, checksum: self.checksum.finalize() });
        bytes
    }
}

fn frame(bytes: &mut Vec<u8>, kind: u8, message: &impl Message) {
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
}

/// The fault of a backup file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    /// It could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// It does not begin like a backup.
    #[error("it is no backup")]
    NoBackup,
    /// Its format is newer than this program.
    #[error("its format {0} is newer than this program: use a newer Muster")]
    Newer(u32),
    /// It ends before its trailer.
    #[error("it was cut short")]
    CutShort,
    /// Its content is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// Reads a backup. Its records can be trusted only once it has ended without an error.
pub(super) struct Decoder<R> {
    source: R,
    checksum: crc32fast::Hasher,
    count: u64,
    pub(super) header: BackupHeader,
    is_over: bool,
}

impl<R: Read> Decoder<R> {
    /// Reads the header.
    pub(super) fn begin(mut source: R) -> Result<Decoder<R>, FormatError> {
        let mut magic = [0; 8];
        match source.read_exact(&mut magic) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FormatError::NoBackup),
            read => read.map_err(FormatError::Read)?,
        }
        if magic != *MAGIC {
            return Err(FormatError::NoBackup);
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&magic);
        let mut decoder = Decoder { source, checksum, count: 0, header: BackupHeader::default(), is_over: false };
        let (b'h', header) = decoder.frame()? else { return Err(FormatError::Damaged("its header is missing")) };
        decoder.header = message(&header)?;
        match decoder.header.format {
            FORMAT => Ok(decoder),
            newer => Err(FormatError::Newer(newer)),
        }
    }

    /// The next record; `None` after the last, once the trailer was verified.
    pub(super) fn next(&mut self) -> Result<Option<(Key, Vec<u8>)>, FormatError> {
        if self.is_over {
            return Ok(None);
        }
        let checksum = self.checksum.clone().finalize();
        match self.frame()? {
            (b'r', bytes) => {
                let record: BackupRecord = message(&bytes)?;
                let key = Key::from_bytes(&record.key).ok_or(FormatError::Damaged("a key of no known kind"))?;
                self.count += 1;
                Ok(Some((key, record.value)))
            }
            (b't', bytes) => {
                let trailer: BackupTrailer = message(&bytes)?;
                if trailer.checksum != checksum {
                    return Err(FormatError::Damaged("its checksum is another"));
                }
                if trailer.count != self.count {
                    return Err(FormatError::Damaged("it has another number of records than it says"));
                }
                if self.source.read(&mut [0]).map_err(FormatError::Read)? != 0 {
                    return Err(FormatError::Damaged("something follows its end"));
                }
                self.is_over = true;
                Ok(None)
            }
            _ => Err(FormatError::Damaged("a frame of no known kind")),
        }
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), FormatError> {
        let mut head = [0; 5];
        self.read(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length > MAX_FRAME {
            return Err(FormatError::Damaged("a frame is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        self.checksum.update(&head);
        self.checksum.update(&bytes);
        Ok((kind, bytes))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::CutShort,
            _ => FormatError::Read(error),
        })
    }
}

fn message<T: Message + Default>(bytes: &[u8]) -> Result<T, FormatError> {
    T::decode(bytes).map_err(|_| FormatError::Damaged("a frame cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::DriverUid;

    fn written() -> Vec<u8> {
        let header = BackupHeader { format: FORMAT, schema: 1, commit: 7, ..BackupHeader::default() };
        let (mut encoder, mut bytes) = Encoder::begin(&header);
        for uid in 1..=3 {
            encoder.record(&mut bytes, Key::Driver(DriverUid(uid)), vec![1; 9]);
        }
        bytes.extend(encoder.end());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<usize, FormatError> {
        let mut decoder = Decoder::begin(bytes)?;
        let mut count = 0;
        while decoder.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&written()).unwrap(), 3);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused() {
        let right = written();
        for length in 0..right.len() {
            read(&right[..length]).unwrap_err();
        }
        for place in 0..right.len() {
            let mut wrong = right.clone();
            wrong[place] ^= 1;
            read(&wrong).unwrap_err();
        }
        let mut longer = right;
        longer.push(0);
        read(&longer).unwrap_err();
    }
}
