//! What all lists share.

use std::sync::Arc;

use muster_proto::FieldViolations;
use muster_proto::errors::Failure;
use muster_proto::tokens::ResumeToken;
use muster_proto::validate::{Filter, Page};

use crate::leader::LeaderContext;
use crate::view::{Cursor, Pageable};

/// A page with its tokens.
pub(crate) struct Listing<T> {
    pub items: Vec<Arc<T>>,
    /// Empty on the last page.
    pub next_page_token: String,
    /// The token to watch from.
    pub resume: ResumeToken,
}

impl LeaderContext {
    /// Reads a page of a list. The first page begins behind the key `first`.
    pub(crate) async fn list<T: Pageable, S>(
        &self,
        page: Page<S>,
        first: Option<String>,
        within: impl Fn(&T) -> bool,
        passes: impl Fn(&Filter<S>, &T) -> bool,
    ) -> Result<Listing<T>, Failure> {
        let cursor = match &page.after {
            None => Cursor { after: first, since: self.token(self.view.read().commit) },
            Some(held) => Cursor::parse(held).ok_or_else(bad_token)?,
        };
        let read = self.view.page(cursor, page.size, within, |item| passes(&page.filter, item)).await;
        let read = read.ok_or_else(bad_token)?;
        let next_page_token = read.next.map(|key| page.next_token(&key)).unwrap_or_default();
        self.answered(Listing { items: read.items, next_page_token, resume: read.since })
    }
}

fn bad_token() -> Failure {
    Failure::BadRequest(FieldViolations::of("page_token", "pass the next_page_token of the page before, as it is"))
}
