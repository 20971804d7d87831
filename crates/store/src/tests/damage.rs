//! A damaged store is refused with a clear error, and never opens with other content than was
//! acknowledged.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_types::{Commit, DriverUid, Snapshot, Write};

use super::conformance::files;
use crate::conformance::{Sample, candidacy, new_cluster};
use crate::embedded::testing;
use crate::{Candidate, EmbeddedCandidate, LoadError, OpenError, Store, Transaction};

/// Fills a store with so much that tables are made and merged, and logs follow them.
async fn fill(directory: &Path, commits: u64, drivers: u64) -> Snapshot {
    let mut candidate = EmbeddedCandidate::open(directory, new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let mut sample = Sample::new(3);
    for commit in 1..=commits {
        let mut writes: Vec<Write> = (0..drivers).map(|_| Write::PutDriver(sample.driver())).collect();
        writes.push(Write::PutEvents(sample.events(Commit(commit))));
        leader.store.commit(Transaction { commit: Commit(commit), writes }).await.unwrap();
    }
    leader.store.load().await.unwrap()
}

async fn load(directory: &Path) -> Result<Snapshot, OpenError> {
    let mut candidate = EmbeddedCandidate::open(directory, new_cluster(), candidacy()).await?;
    Ok(candidate.campaign().await.unwrap().store.load().await.unwrap())
}

/// The bytes of a directory, so that each trial begins with the same.
struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    fn of(directory: &Path) -> Image {
        let named = |path: PathBuf| (path.strip_prefix(directory).unwrap().to_owned(), std::fs::read(&path).unwrap());
        Image(files(directory).into_iter().map(named).collect())
    }

    /// The files with content, except the lock, whose content does not matter.
    fn names(&self) -> impl Iterator<Item = &PathBuf> + Clone {
        let filled = self.0.iter().filter(|(_, bytes)| !bytes.is_empty());
        filled.map(|(name, _)| name).filter(|name| name.file_name().is_some_and(|name| name != "lock"))
    }

    fn lay_out(&self, directory: &Path) {
        for (name, bytes) in &self.0 {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

async fn try_damage(image: &Image, expected: &Snapshot, name: &Path, damage: impl Fn(&mut Vec<u8>)) -> bool {
    let directory = tempfile::tempdir().unwrap();
    image.lay_out(directory.path());
    let mut bytes = image.0[name].clone();
    damage(&mut bytes);
    std::fs::write(directory.path().join(name), &bytes).unwrap();
    match load(directory.path()).await {
        Ok(snapshot) => {
            assert!(&snapshot == expected, "{} opened as something else", name.display());
            false
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(directory.path().to_str().unwrap()), "{text}");
            // A second try must be refused too: the first one must not have tidied the damage away.
            assert!(load(directory.path()).await.is_err(), "{} was accepted at the second try", name.display());
            true
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fill(directory.path(), 20, 50).await;
    let image = Image::of(directory.path());
    let mut sample = Sample::new(11);
    let mut refused = 0;
    for name in image.names().cycle().take(60) {
        let place = sample.number() as usize % image.0[name].len();
        let bit = 1 << (sample.number() % 8);
        refused += usize::from(try_damage(&image, &expected, name, |bytes| bytes[place] ^= bit).await);
    }
    assert!(refused > 10, "only {refused} were refused");
}

#[tokio::test]
async fn a_flipped_bit_in_the_list_of_tables_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fill(directory.path(), 20, 50).await;
    let image = Image::of(directory.path());
    // Only the newest lists; older ones may still exist, and do not matter.
    let trees = image.names().filter(|name| name.ends_with("current"));
    let lists = trees.flat_map(|current| {
        let number = u64::from_le_bytes(image.0[current][..8].try_into().unwrap());
        [current.clone(), current.with_file_name(format!("v{number}"))]
    });
    let mut tried = 0;
    for name in lists {
        for place in 0..image.0[&name].len() {
            let refused = try_damage(&image, &expected, &name, |bytes| bytes[place] ^= 1 << (place % 8)).await;
            assert!(refused, "{name:?} at {place}");
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} were tried");
}

#[tokio::test]
async fn a_truncated_file_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fill(directory.path(), 20, 50).await;
    let image = Image::of(directory.path());
    let mut refused = 0;
    for (index, name) in image.names().cycle().take(60).enumerate() {
        let length = image.0[name].len();
        let rest = [0, length / 2, length - 1][index / 20];
        refused += usize::from(try_damage(&image, &expected, name, |bytes| bytes.truncate(rest)).await);
    }
    assert!(refused > 10, "only {refused} were refused");
}

#[tokio::test]
async fn a_log_without_its_end_is_refused_with_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 5, 2).await;
    let log =
        files(directory.path()).into_iter().find(|path| path.extension().is_some_and(|ext| ext == "jnl")).unwrap();
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 100]).unwrap();
    let error = load(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, "transaction 5 was acknowledged, the newest found is 4");
}

#[tokio::test]
async fn a_store_whose_database_is_gone_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 5, 2).await;
    std::fs::remove_dir_all(directory.path().join("records")).unwrap();
    let error = load(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(!directory.path().join("records").exists());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_set_aside_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let before = fill(directory.path(), 2, 2).await;
    let uid = before.drivers[0].uid;
    testing::overwrite(directory.path(), uid, b"\xff\xff");
    let snapshot = load(directory.path()).await.unwrap();
    assert_eq!(snapshot.drivers, before.drivers[1..]);
    assert_eq!(snapshot.quarantined.len(), 1);
    assert_eq!(snapshot.quarantined[0].key, format!("driver/{uid}"));
    assert!(!snapshot.quarantined[0].error.is_empty());
}

#[tokio::test]
async fn a_record_of_another_key_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let before = fill(directory.path(), 1, 2).await;
    let uid = DriverUid(42);
    testing::overwrite(directory.path(), uid, &crate::codec::Stored::encode(&*before.drivers[0]));
    let snapshot = load(directory.path()).await.unwrap();
    assert_eq!(snapshot.drivers, before.drivers);
    assert_eq!(snapshot.quarantined[0].key, format!("driver/{uid}"));
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 1, 2).await;
    testing::set_schema(directory.path(), 2);
    let error = load(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 2, known: 1, .. }));
    assert!(error.to_string().ends_with("has schema 2, this program knows up to 1: use a newer Muster"), "{error}");
}

#[tokio::test]
async fn an_older_state_of_a_record_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let before = fill(directory.path(), 1, 2).await;
    testing::overwrite_unnoticed(directory.path(), before.drivers[0].uid, b"old");
    let error = load(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.source().unwrap().to_string().contains("were written"));
}

#[test]
fn errors_say_whether_the_process_must_end() {
    let path = PathBuf::from("/x");
    assert!(LoadError::Damaged { path, source: "x".into() }.is_fatal());
    assert!(!LoadError::Superseded.is_fatal());
    let _shared: Arc<dyn std::error::Error + Send + Sync> = Arc::new(LoadError::Closed);
}
