//! What a driver keeps of a stage: the arguments of its tasks, and the results that have come.
//!
//! Both are kept in few large pieces, since a stage may have a million tasks: an argument costs 8
//! bytes beside its own, and a result 12.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use muster_dag::{JobId, StageId};

use crate::dataset::MOST_PARTITIONS;
use crate::foreign::ResultSink;

/// The largest argument of a task.
const LARGEST_ARGUMENT: usize = 16 << 20;
/// Bytes of a piece of results. A larger result has one of its own.
const RESULT_PIECE: usize = 1 << 20;

/// The arguments of the tasks of a stage, as they travel.
#[derive(Debug, Default)]
pub(crate) struct StageArguments {
    data: Bytes,
    ends: Vec<usize>,
}

/// Arguments that are gathered.
#[derive(Debug, Default)]
pub(crate) struct ArgumentWriter {
    data: Vec<u8>,
    ends: Vec<usize>,
}

/// Why an argument cannot travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// It cannot be encoded.
    #[error("argument {0} cannot be encoded: {1}")]
    Encode(usize, postcard::Error),
    /// It is too large.
    #[error("argument {0} has {1} bytes, and an argument may have {LARGEST_ARGUMENT}: broadcast what is large")]
    TooLarge(usize, usize),
    /// There are too many partitions.
    #[error("{0} partitions, and a dataset may have {MOST_PARTITIONS}")]
    Partitions(u32),
}

impl ArgumentWriter {
    pub(crate) fn add(&mut self, argument: &impl serde::Serialize) -> Result<(), ArgumentError> {
        let (number, before) = (self.ends.len(), self.data.len());
        let data = std::mem::take(&mut self.data);
        self.data = postcard::to_extend(argument, data).map_err(|error| ArgumentError::Encode(number, error))?;
        let size = self.data.len() - before;
        if size > LARGEST_ARGUMENT {
            return Err(ArgumentError::TooLarge(number, size));
        }
        self.ends.push(self.data.len());
        Ok(())
    }

    /// Adds an argument that is encoded already.
    pub(crate) fn add_encoded(&mut self, argument: &[u8]) -> Result<(), ArgumentError> {
        if argument.len() > LARGEST_ARGUMENT {
            return Err(ArgumentError::TooLarge(self.ends.len(), argument.len()));
        }
        self.data.extend_from_slice(argument);
        self.ends.push(self.data.len());
        Ok(())
    }

    pub(crate) fn finish(mut self) -> StageArguments {
        self.data.shrink_to_fit();
        self.ends.shrink_to_fit();
        StageArguments { data: self.data.into(), ends: self.ends }
    }
}

impl StageArguments {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The argument of a task, without a copy.
    pub(crate) fn get(&self, partition: u32) -> Bytes {
        let at = partition as usize;
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).map(|end| self.data.slice(begin..*end)).unwrap_or_default()
    }
}

/// Where a result is.
#[derive(Debug, Clone, Copy, Default)]
struct ResultSlot {
    piece: u32,
    at: u32,
    length: u32,
}

/// The results of the tasks of a stage, as they travelled.
#[derive(Debug, Default)]
pub(crate) struct StageResults {
    pieces: Vec<Vec<u8>>,
    slots: Vec<ResultSlot>,
    /// What the attempts that count have counted, by name.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl StageResults {
    pub(crate) fn new(tasks: usize) -> StageResults {
        StageResults { pieces: Vec::new(), slots: vec![ResultSlot::default(); tasks], counts: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, partition: u32, result: &[u8]) {
        let tasks = self.slots.len();
        let Some(slot) = self.slots.get_mut(partition as usize) else { return };
        if self.pieces.last().is_none_or(|last| last.capacity() - last.len() < result.len()) {
            let usual = if tasks == 1 { 0 } else { RESULT_PIECE.min(tasks.saturating_mul(64)) };
            self.pieces.push(Vec::with_capacity(result.len().max(usual)));
        }
        let piece = u32::try_from(self.pieces.len() - 1).unwrap_or(u32::MAX);
        if let Some(last) = self.pieces.last_mut() {
            let (at, length) = (u32::try_from(last.len()), u32::try_from(result.len()));
            *slot = ResultSlot { piece, at: at.unwrap_or(u32::MAX), length: length.unwrap_or(u32::MAX) };
            last.extend_from_slice(result);
        }
    }

    pub(crate) fn add_counts(&mut self, counts: BTreeMap<String, u64>) {
        for (name, count) in counts {
            let sum = self.counts.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        *self = StageResults::new(self.slots.len());
    }

    /// The results by partition.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.slots.iter().map(|slot| {
            let end = slot.at as usize + slot.length as usize;
            let piece = self.pieces.get(slot.piece as usize);
            piece.and_then(|piece| piece.get(slot.at as usize..end)).unwrap_or_default()
        })
    }
}

/// What the tasks of a stage do, as it is told to executors.
#[derive(Debug, Clone)]
pub(crate) enum StageCode {
    /// One call of a function.
    Function(Arc<str>),
    /// A plan.
    Plan(Bytes),
}

/// A stage that is known.
pub(crate) struct StageRecord {
    /// The job that has needed it last.
    pub(crate) job: JobId,
    pub(crate) code: StageCode,
    pub(crate) arguments: Arc<StageArguments>,
    pub(crate) parents: Arc<[StageId]>,
    /// Of a stage with results.
    pub(crate) results: StageResults,
    /// Where results go as they come, instead.
    pub(crate) sink: Option<Arc<dyn ResultSink>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_results_are_found_by_partition() {
        let mut writer = ArgumentWriter::default();
        for word in ["a", "", "long"] {
            writer.add(&word).unwrap();
        }
        let arguments = writer.finish();
        let words: Vec<String> = (0..3).map(|at| postcard::from_bytes(&arguments.get(at)).unwrap()).collect();
        assert_eq!((arguments.len(), words.join(",")), (3, "a,,long".to_owned()));
        assert!(arguments.get(3).is_empty());

        let mut results = StageResults::new(4);
        let large = vec![7; 3 << 20];
        for (partition, result) in [(2, b"two".as_slice()), (0, &large), (1, b"one")] {
            results.set(partition, result);
        }
        let found: Vec<&[u8]> = results.iter().collect();
        assert_eq!(found, [large.as_slice(), b"one", b"two", b""]);
    }

    #[test]
    fn an_argument_that_is_too_large_is_refused_by_name() {
        let mut writer = ArgumentWriter::default();
        writer.add(&1u8).unwrap();
        let error = writer.add(&vec![0u8; LARGEST_ARGUMENT]).unwrap_err();
        assert!(error.to_string().starts_with("argument 1 has 167772"), "{error}");
    }
}
