//! Reads a large range in pages, all at one revision.

use std::time::Duration;

use etcd_client::{GetOptions, KeyValue};

use super::connection::{ClientHandle, EtcdConnection};
use super::failure::EtcdFailure;
use super::keys::Range;

/// The target size of a page: a few round trips for a small state, a bounded answer for any.
const PAGE_BYTES: usize = 4 << 20;
/// The number of keys in the first page, when their size is unknown.
const FIRST_PAGE: i64 = 256;
const LARGEST_PAGE: i64 = 8192;
/// The largest accepted answer, far above any page: a record has at most some hundred kilobytes.
pub(super) const ANSWER_BYTES: usize = 256 << 20;
/// The time limits of one page, which etcd may have to read from a disk.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
const PAGE_TOTAL: Duration = Duration::from_secs(20);

/// A range that is being read.
pub(super) struct Pages {
    range: Range,
    /// The revision of all pages; 0 until the first page sets it.
    revision: i64,
    limit: i64,
    is_over: bool,
}

impl Pages {
    /// Reads the range as it is at the first page, with everything that was acknowledged before.
    pub(super) fn now(range: Range) -> Pages {
        Pages::at(range, 0)
    }

    /// Reads the range at a revision; 0 stands for the present one.
    pub(super) fn at(range: Range, revision: i64) -> Pages {
        Pages { range, revision, limit: FIRST_PAGE, is_over: false }
    }

    /// The revision of all pages; 0 before the first page.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The next page, in the order of keys; `None` after the last.
    pub(super) async fn next(&mut self, connection: &mut EtcdConnection) -> Result<Option<Vec<KeyValue>>, EtcdFailure> {
        if self.is_over {
            return Ok(None);
        }
        let (start, end) = &self.range;
        let (limit, revision) = (self.limit, self.revision);
        let ask = |client: ClientHandle| {
            let options = GetOptions::new().with_range(end.clone()).with_limit(limit).with_revision(revision);
            let start = start.clone();
            async move { client.kv_client().max_decoding_message_size(ANSWER_BYTES).get(start, Some(options)).await }
        };
        let mut answer = connection.persist(PAGE_WITHIN, PAGE_TOTAL, ask).await?;
        if self.revision == 0 {
            self.revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        }
        self.is_over = !answer.more();
        let page = answer.take_kvs();
        if let Some(last) = page.last() {
            self.range.0 = [last.key(), b"\0"].concat();
            let bytes: usize = page.iter().map(|record| record.key().len() + record.value().len()).sum();
            let fitting = PAGE_BYTES / (bytes / page.len()).max(1);
            self.limit = i64::try_from(fitting).unwrap_or(LARGEST_PAGE).clamp(16, LARGEST_PAGE);
        }
        Ok(Some(page))
    }
}
