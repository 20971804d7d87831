//! What is kept: the outputs of tasks by stage and partition, each cut by its readers.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use muster_proto::v1::output_block::Codec;

use super::block::{BlockHeader, pack};
use super::scratch::{FileExtent, ScratchFile};
use crate::TaskError;

/// What may be kept in memory until the driver says how much.
const USUAL_MEMORY: u64 = 64 << 20;

/// All outputs that an executor keeps.
#[derive(Debug)]
pub(crate) struct OutputStore {
    folder: PathBuf,
    codec: AtomicI32,
    memory: Arc<OutputMemory>,
    stages: Mutex<BTreeMap<u64, KeptStage>>,
}

/// How much of the memory for outputs is used.
#[derive(Debug)]
struct OutputMemory {
    most: AtomicU64,
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct KeptStage {
    outputs: BTreeMap<u32, Arc<KeptOutput>>,
    /// Where blocks go for which there is no memory.
    file: Option<Arc<ScratchFile>>,
}

/// What one task has made.
#[derive(Debug)]
pub(crate) struct KeptOutput {
    /// The attempt that has made it. Another one of the same task may make other blocks.
    attempt: u64,
    /// Once it is finished, in the order of their readers. Most outputs have no block for most
    /// readers where there are many.
    blocks: Vec<KeptBlock>,
    file: Option<Arc<ScratchFile>>,
    memory: Arc<OutputMemory>,
    in_memory: u64,
}

#[derive(Debug)]
struct KeptBlock {
    reader: u32,
    header: BlockHeader,
    place: BlockPlace,
}

#[derive(Debug)]
enum BlockPlace {
    Memory(Bytes),
    File(FileExtent),
}

impl OutputMemory {
    fn reserve(&self, bytes: u64) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let reserved = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserved).is_ok()
    }
}

impl OutputStore {
    pub(crate) fn new(folder: PathBuf) -> OutputStore {
        OutputStore {
            folder,
            codec: AtomicI32::new(Codec::Lz4.into()),
            memory: Arc::new(OutputMemory { most: AtomicU64::new(USUAL_MEMORY), used: AtomicU64::new(0) }),
            stages: Mutex::default(),
        }
    }

    pub(crate) fn configure(&self, memory_bytes: u64, codec: Codec) {
        self.memory.most.store(memory_bytes, Ordering::Relaxed);
        self.codec.store(codec.into(), Ordering::Relaxed);
    }

    /// Begins the output of an attempt.
    pub(super) fn begin(&self, attempt: u64) -> KeptOutput {
        KeptOutput { attempt, blocks: Vec::new(), file: None, memory: self.memory.clone(), in_memory: 0 }
    }

    /// Adds a block to an output that is being made: in memory, or in the stage's file when that is
    /// full.
    pub(super) fn add_block(
        &self,
        stage: u64,
        output: &mut KeptOutput,
        reader: u32,
        plain: &[u8],
    ) -> Result<(), TaskError> {
        let codec = Codec::try_from(self.codec.load(Ordering::Relaxed)).unwrap_or(Codec::Lz4);
        let (header, data) = pack(plain, codec);
        let size = data.len() as u64;
        let place = if self.memory.reserve(size) {
            output.in_memory += size;
            BlockPlace::Memory(data.into())
        } else {
            let added = self.file(stage).and_then(|file| Ok((file.add(&data)?, file)));
            let (extent, file) = added.map_err(|error| {
                TaskError::new(format_args!("its output cannot be kept in {}: {error}", self.folder.display()))
            })?;
            output.file = Some(file);
            BlockPlace::File(extent)
        };
        output.blocks.push(KeptBlock { reader, header, place });
        Ok(())
    }

    fn file(&self, stage: u64) -> io::Result<Arc<ScratchFile>> {
        let mut stages = self.lock();
        let kept = stages.entry(stage).or_default();
        if let Some(file) = &kept.file {
            return Ok(file.clone());
        }
        let file = Arc::new(ScratchFile::create(&self.folder, stage)?);
        kept.file = Some(file.clone());
        Ok(file)
    }

    /// Keeps an output that is complete. It replaces an earlier one of the same task.
    pub(crate) fn insert(&self, stage: u64, partition: u32, output: KeptOutput) {
        self.lock().entry(stage).or_default().outputs.insert(partition, Arc::new(output));
    }

    pub(super) fn get(&self, stage: u64, partition: u32) -> Option<Arc<KeptOutput>> {
        self.lock().get(&stage)?.outputs.get(&partition).cloned()
    }

    /// Forgets the outputs of a stage. Whoever reads one of them goes on.
    pub(crate) fn remove(&self, stage: u64) {
        let removed = self.lock().remove(&stage);
        drop(removed);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let removed = std::mem::take(&mut *self.lock());
        drop(removed);
        // An error means that there is no such directory, or somebody still reads.
        let _ = std::fs::remove_dir(&self.folder);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, KeptStage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptOutput {
    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    /// It has all its blocks: from here on they are found by reader.
    pub(super) fn finish(&mut self) {
        // Those of one reader stay as they came.
        self.blocks.sort_by_key(|block| block.reader);
        self.blocks.shrink_to_fit();
    }

    fn of_reader(&self, reader: u32) -> &[KeptBlock] {
        let begin = self.blocks.partition_point(|block| block.reader < reader);
        let end = self.blocks.partition_point(|block| block.reader <= reader);
        self.blocks.get(begin..end).unwrap_or_default()
    }

    /// How many blocks there are for a reader.
    pub(super) fn blocks(&self, reader: u32) -> usize {
        self.of_reader(reader).len()
    }

    /// Whether reading it may wait for a disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }

    /// A block of a reader, by its number.
    pub(super) fn read(&self, reader: u32, number: usize) -> io::Result<Option<(BlockHeader, Bytes)>> {
        let Some(block) = self.of_reader(reader).get(number) else { return Ok(None) };
        let data = match (&block.place, &self.file) {
            (BlockPlace::Memory(data), _) => data.clone(),
            (BlockPlace::File(extent), Some(file)) => file.read(*extent)?.into(),
            (BlockPlace::File(_), None) => return Ok(None),
        };
        Ok(Some((block.header, data)))
    }
}

impl Drop for KeptOutput {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.in_memory, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_exceeds_the_memory_goes_to_the_scratch_directory_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = OutputStore::new(folder.path().join("outputs"));
        store.configure(1500, Codec::None);
        let plain = vec![7; 1000];
        let mut output = store.begin(5);
        store.add_block(3, &mut output, 1, &plain).unwrap();
        assert!(!output.is_on_disk() && !folder.path().join("outputs").exists());
        store.add_block(3, &mut output, 0, &plain).unwrap();
        store.add_block(3, &mut output, 1, b"fits").unwrap();
        output.finish();
        assert!(output.is_on_disk());
        assert_eq!(store.memory.used.load(Ordering::Relaxed), 1004);
        store.insert(3, 9, output);
        assert_eq!(std::fs::metadata(folder.path().join("outputs/stage-3")).unwrap().len(), 1000);

        let kept = store.get(3, 9).unwrap();
        assert_eq!((kept.blocks(0), kept.blocks(1), kept.blocks(2)), (1, 2, 0));
        for (reader, number, expected) in [(0, 0, plain.as_slice()), (1, 0, &plain), (1, 1, b"fits")] {
            let (header, data) = kept.read(reader, number).unwrap().unwrap();
            header.check(&data).unwrap();
            assert_eq!(data, expected);
        }
        assert!(kept.read(1, 2).unwrap().is_none() && store.get(3, 8).is_none());
        store.remove(3);
        assert!(store.get(3, 9).is_none());
        assert!(kept.read(1, 0).unwrap().is_some(), "who reads goes on");
        drop(kept);
        assert_eq!(store.memory.used.load(Ordering::Relaxed), 0);
        assert!(!folder.path().join("outputs/stage-3").exists());
        store.clear();
        assert!(!folder.path().join("outputs").exists());
    }

    #[test]
    fn outputs_are_nobody_elses_and_no_link_leads_to_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = folder.path().join("outputs");
        let store = OutputStore::new(outputs.clone());
        store.configure(0, Codec::None);
        let mut output = store.begin(5);
        store.add_block(1, &mut output, 0, b"abc").unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&outputs), mode(&outputs.join("stage-1"))), (0o700, 0o600));
        let other = folder.path().join("other");
        std::fs::write(&other, "of another").unwrap();
        std::os::unix::fs::symlink(&other, outputs.join("stage-2")).unwrap();
        let error = store.add_block(2, &mut store.begin(6), 0, b"abc").unwrap_err();
        assert!(error.to_string().contains("File exists"), "{error}");
        assert_eq!(std::fs::read_to_string(other).unwrap(), "of another");
    }

    #[test]
    fn a_directory_that_takes_nothing_is_named() {
        let folder = tempfile::NamedTempFile::new().unwrap();
        let store = OutputStore::new(folder.path().join("outputs"));
        store.configure(0, Codec::Lz4);
        let error = store.add_block(1, &mut store.begin(5), 0, b"abc").unwrap_err();
        assert!(error.to_string().starts_with("its output cannot be kept in "), "{error}");
        assert!(!error.is_for_ever(), "another executor may have room");
    }
}
