//! Conversion between records and bytes.

use muster_types::{AttemptKey, Incarnation, Outcome, WallTime};
use prost::Message as _;

use crate::runner_protocol::{Accepted, journal_wire as shared};

/// What is remembered of an attempt, in the order in which it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Written before anything is done for the attempt.
    Accepted(Accepted),
    /// Its process runs.
    Started {
        /// The attempt.
        attempt: AttemptKey,
        /// Its process id in the outer PID namespace.
        pid: u32,
        /// When it started.
        started: WallTime,
    },
    /// Its main process has ended, but other processes of its tree are still there. Written before
    /// the main process is reaped.
    Exited {
        /// The attempt.
        attempt: AttemptKey,
        /// The outcome to report once nothing is left.
        outcome: Outcome,
    },
    /// Nothing of it is left. Written before its main process is reaped, if that was not done yet.
    Ended {
        /// The attempt.
        attempt: AttemptKey,
        /// The sequence of the report of its end.
        sequence: u64,
        /// How it ended.
        outcome: Outcome,
        /// When it ended.
        ended: WallTime,
    },
    /// The report of its end was acknowledged: the attempt may be forgotten.
    Closed(AttemptKey),
}

impl Record {
    /// The attempt that it is about.
    pub fn attempt(&self) -> AttemptKey {
        match self {
            Record::Accepted(accepted) => accepted.attempt,
            Record::Started { attempt, .. }
            | Record::Exited { attempt, .. }
            | Record::Ended { attempt, .. }
            | Record::Closed(attempt) => *attempt,
        }
    }
}

const MAGIC: &[u8; 8] = b"MUSTERJ1";

/// Bytes of the header: magic, counter and random of the incarnation, sum.
pub const HEADER_LENGTH: usize = 28;

/// Bytes of length and sum before each body.
const RECORD_HEAD: usize = 8;

/// Appends the header of a journal of this incarnation.
pub fn append_header(incarnation: Incarnation, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&incarnation.counter.to_le_bytes());
    out.extend_from_slice(&incarnation.random.to_le_bytes());
    let sum = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The incarnation that wrote a journal; `None` if `bytes` do not begin with a valid header.
pub fn read_header(bytes: &[u8]) -> Option<Incarnation> {
    let header = bytes.get(..HEADER_LENGTH)?;
    let (body, sum) = header.split_at(HEADER_LENGTH - 4);
    if !body.starts_with(MAGIC) || crc32fast::hash(body).to_le_bytes() != *sum {
        return None;
    }
    let number = |at: usize| body[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    Some(Incarnation { counter: number(8)?, random: number(16)? })
}

/// Appends a record: the length, the sum, and the body.
pub fn append_record(record: &Record, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD]);
    to_wire(record).encode(out).expect("a Vec grows as needed");
    let body = &out[begin + RECORD_HEAD..];
    let (length, sum) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32fast::hash(body));
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    out[begin + 4..begin + RECORD_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// The records that follow a header, up to the first that is absent, cut or damaged.
pub fn read_records(bytes: &[u8]) -> Vec<Record> {
    let mut rest = bytes;
    let mut records = Vec::new();
    while let Some((record, after)) = read_record(rest) {
        records.push(record);
        rest = after;
    }
    records
}

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let (sum, bytes) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > bytes.len() {
        return None;
    }
    let (body, after) = bytes.split_at(length);
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let record = from_wire(WireRecord::decode(body).ok()?)?;
    Some((record, after))
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRecord {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "1")]
    Accepted(shared::Accepted),
    #[prost(message, tag = "2")]
    Started(Started),
    #[prost(message, tag = "3")]
    Exited(Exited),
    #[prost(message, tag = "4")]
    Ended(Ended),
    #[prost(message, tag = "5")]
    Closed(shared::Attempt),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Started {
    #[prost(message, optional, tag = "1")]
    attempt: Option<shared::Attempt>,
    #[prost(uint32, tag = "2")]
    pid: u32,
    #[prost(uint64, tag = "3")]
    started_millis: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exited {
    #[prost(message, optional, tag = "1")]
    attempt: Option<shared::Attempt>,
    #[prost(message, optional, tag = "2")]
    outcome: Option<shared::Outcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Ended {
    #[prost(message, optional, tag = "1")]
    attempt: Option<shared::Attempt>,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(message, optional, tag = "3")]
    outcome: Option<shared::Outcome>,
    #[prost(uint64, tag = "4")]
    ended_millis: u64,
}

fn to_wire(record: &Record) -> WireRecord {
    let body = match record {
        Record::Accepted(accepted) => Body::Accepted(shared::accepted_to_wire(accepted)),
        Record::Started { attempt, pid, started } => Body::Started(Started {
            attempt: Some(shared::attempt_to_wire(attempt)),
            pid: *pid,
            started_millis: started.0,
        }),
        Record::Exited { attempt, outcome } => Body::Exited(Exited {
            attempt: Some(shared::attempt_to_wire(attempt)),
            outcome: Some(shared::outcome_to_wire(outcome)),
        }),
        Record::Ended { attempt, sequence, outcome, ended } => Body::Ended(Ended {
            attempt: Some(shared::attempt_to_wire(attempt)),
            sequence: *sequence,
            outcome: Some(shared::outcome_to_wire(outcome)),
            ended_millis: ended.0,
        }),
        Record::Closed(attempt) => Body::Closed(shared::attempt_to_wire(attempt)),
    };
    WireRecord { body: Some(body) }
}

fn from_wire(wire: WireRecord) -> Option<Record> {
    Some(match wire.body? {
        Body::Accepted(accepted) => Record::Accepted(shared::accepted_from_wire(Some(accepted)).ok()?),
        Body::Started(started) => Record::Started {
            attempt: shared::attempt_from_wire(started.attempt).ok()?,
            pid: started.pid,
            started: WallTime(started.started_millis),
        },
        Body::Exited(exited) => Record::Exited {
            attempt: shared::attempt_from_wire(exited.attempt).ok()?,
            outcome: shared::outcome_from_wire(exited.outcome).ok()?,
        },
        Body::Ended(ended) => Record::Ended {
            attempt: shared::attempt_from_wire(ended.attempt).ok()?,
            sequence: ended.sequence,
            outcome: shared::outcome_from_wire(ended.outcome).ok()?,
            ended: WallTime(ended.ended_millis),
        },
        Body::Closed(attempt) => Record::Closed(shared::attempt_from_wire(Some(attempt)).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_types::{AllocatedResources, AttemptNumber, DriverUid, Exit, Fault, Reason};

    use super::*;

    const INCARNATION: Incarnation = Incarnation { counter: 3, random: 0xdead_beef };

    fn attempt(number: u32) -> AttemptKey {
        AttemptKey::Driver(DriverUid(9), AttemptNumber(number))
    }

    fn every_record() -> Vec<Record> {
        let accepted = Accepted {
            attempt: attempt(1),
            id: "driver-a".into(),
            leased: true,
            resources: AllocatedResources { cores: 1, memory: 2, ..Default::default() },
            kill_grace: Duration::from_secs(10),
        };
        let outcome = Outcome::exited(Exit::Code(-3));
        let refused = Outcome::without_exit(Fault::Platform, Reason::Refused, "no lease");
        vec![
            Record::Accepted(accepted),
            Record::Started { attempt: attempt(1), pid: 12, started: WallTime(5) },
            Record::Exited { attempt: attempt(1), outcome: outcome.clone() },
            Record::Ended { attempt: attempt(1), sequence: 4, outcome, ended: WallTime(6) },
            Record::Ended { attempt: attempt(2), sequence: 1, outcome: refused, ended: WallTime(6) },
            Record::Closed(attempt(1)),
        ]
    }

    fn bytes_of(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| append_record(record, &mut bytes));
        bytes
    }

    #[test]
    fn every_record_is_read_as_it_was_written() {
        let mut bytes = bytes_of(&every_record());
        bytes.resize(bytes.len() + 4096, 0);
        assert_eq!(read_records(&bytes), every_record());
    }

    #[test]
    fn a_tail_torn_anywhere_loses_the_last_record_alone() {
        let records = every_record();
        let whole = bytes_of(&records);
        let before_last = bytes_of(&records[..records.len() - 1]).len();
        for cut in before_last..whole.len() {
            let mut torn = whole[..cut].to_vec();
            torn.resize(whole.len() + 64, 0);
            assert_eq!(read_records(&torn), records[..records.len() - 1], "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_reading_and_never_panics() {
        let records = every_record();
        let whole = bytes_of(&records);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let read = read_records(&damaged);
            assert!(read.len() < records.len());
            assert_eq!(read, records[..read.len()]);
        }
    }

    #[test]
    fn the_header_names_its_incarnation() {
        let mut bytes = Vec::new();
        append_header(INCARNATION, &mut bytes);
        assert_eq!(bytes.len(), HEADER_LENGTH);
        assert_eq!(read_header(&bytes), Some(INCARNATION));
        bytes[9] ^= 1;
        assert_eq!(read_header(&bytes), None);
        assert_eq!(read_header(&[]), None);
    }
}
