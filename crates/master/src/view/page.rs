//! Pages of lists. A list is read a thousand records at a time, so that no reader holds the view
//! for long. Every page carries the token from before its first page was read, so that a watch from
//! there misses nothing.

use std::borrow::Borrow;
use std::sync::Arc;

use muster_core::{ApplicationView, DriverView, ExecutorView, WorkerView};
use muster_proto::tokens::ResumeToken;
use muster_types::{ApplicationId, ApplicationUid, ExecutorId};

use super::table::Named;
use super::{NameTable, Tables, View};

/// Records that are examined under one lock.
const CHUNK: usize = 1000;
/// Chunks that are examined for one page: a filter that few records pass gives short pages instead
/// of slow ones.
const MAX_CHUNKS: usize = 100;

/// Where a page begins, and from where a watch sees what changed since the first page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The key of the last record that was looked at; `None` at the beginning.
    pub after: Option<String>,
    /// The token from before the first page was read.
    pub since: ResumeToken,
}

impl Cursor {
    /// Parses the content of a page token; `None` if it is not one of ours.
    pub(crate) fn parse(held: &str) -> Option<Cursor> {
        let (since, after) = held.split_once(' ')?;
        Some(Cursor { after: Some(after.to_owned()), since: since.parse().ok()? })
    }

    /// The content of the token of the page behind this key.
    fn behind(&self, after: &str) -> String {
        format!("{} {after}", self.since)
    }
}

#[derive(Debug)]
pub(crate) struct Paged<T> {
    pub items: Vec<T>,
    /// The content of the token of the next page; `None` on the last page.
    pub next: Option<String>,
    /// The token to watch from.
    pub since: ResumeToken,
}

/// Records that can be listed in pages.
pub(crate) trait Pageable: Sized {
    /// Its place in the order of its kind, as text.
    fn key(&self) -> String;
    /// All records behind a key, or all without one. `None` if the text is not a key.
    fn behind<'a>(tables: &'a Tables, key: Option<&str>) -> Option<Box<dyn Iterator<Item = &'a Arc<Self>> + 'a>>;
}

impl View {
    /// Reads a page: the `wanted` records behind the cursor, up to the first record that is not
    /// `within`. `None` if the cursor is not one of ours.
    pub(crate) async fn page<T: Pageable>(
        &self,
        cursor: Cursor,
        size: usize,
        within: impl Fn(&T) -> bool,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<Paged<Arc<T>>> {
        let mut items: Vec<Arc<T>> = Vec::new();
        let mut after = cursor.after.clone();
        for _ in 0..MAX_CHUNKS {
            let mut last = None;
            let mut seen = 0;
            let mut ended = false;
            {
                let tables = self.read();
                for item in T::behind(&tables, after.as_deref())?.take(CHUNK) {
                    seen += 1;
                    ended = !within(item);
                    if ended || items.len() == size {
                        break;
                    }
                    if wanted(item) {
                        items.push(item.clone());
                    }
                    last = Some(item.clone());
                }
            }
            after = last.map(|last| last.key()).or(after);
            if ended || (seen < CHUNK && items.len() < size) {
                return Some(Paged { items, next: None, since: cursor.since });
            }
            if items.len() == size {
                break;
            }
            tokio::task::yield_now().await;
        }
        let next = after.as_deref().map(|after| cursor.behind(after));
        Some(Paged { items, next, since: cursor.since })
    }
}

/// The key of a record: its uid and its name.
fn table_key<T: Named>(item: &T) -> String {
    format!("{:032x} {}", item.uid(), item.name().borrow())
}

fn behind_in<'a, T: Named>(
    table: &'a NameTable<T>,
    key: Option<&str>,
) -> Option<Box<dyn Iterator<Item = &'a Arc<T>> + 'a>> {
    let place = match key {
        None => None,
        Some(key) => {
            let (uid, name) = key.split_once(' ')?;
            Some((name, u128::from_str_radix(uid, 16).ok()?))
        }
    };
    Some(Box::new(table.after(place)))
}

impl Pageable for DriverView {
    fn key(&self) -> String {
        table_key(self)
    }

    fn behind<'a>(tables: &'a Tables, key: Option<&str>) -> Option<Box<dyn Iterator<Item = &'a Arc<Self>> + 'a>> {
        behind_in(&tables.drivers, key)
    }
}

impl Pageable for ApplicationView {
    fn key(&self) -> String {
        table_key(self)
    }

    fn behind<'a>(tables: &'a Tables, key: Option<&str>) -> Option<Box<dyn Iterator<Item = &'a Arc<Self>> + 'a>> {
        behind_in(&tables.applications, key)
    }
}

impl Pageable for WorkerView {
    fn key(&self) -> String {
        table_key(self)
    }

    fn behind<'a>(tables: &'a Tables, key: Option<&str>) -> Option<Box<dyn Iterator<Item = &'a Arc<Self>> + 'a>> {
        behind_in(&tables.workers, key)
    }
}

impl Pageable for ExecutorView {
    fn key(&self) -> String {
        executor_key(self.application, Some(self.record.id), &self.application_id)
    }

    fn behind<'a>(tables: &'a Tables, key: Option<&str>) -> Option<Box<dyn Iterator<Item = &'a Arc<Self>> + 'a>> {
        let Some(key) = key else { return Some(Box::new(tables.executors.all())) };
        let mut parts = key.splitn(3, ' ');
        let (uid, executor, name) = (parts.next()?, parts.next()?, parts.next()?);
        let executor = if executor == "-" { None } else { Some(ExecutorId(executor.parse().ok()?)) };
        Some(Box::new(tables.executors.behind(&name.into(), uid.parse().ok()?, executor)))
    }
}

/// The key of an executor, or without one the key before an application's first.
pub(crate) fn executor_key(application: ApplicationUid, executor: Option<ExecutorId>, name: &ApplicationId) -> String {
    match executor {
        Some(executor) => format!("{application} {executor} {name}"),
        None => format!("{application} - {name}"),
    }
}
