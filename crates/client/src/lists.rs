//! Whole lists, page by page.

use muster_proto::v1;

use crate::{CallError, Client};

/// Items of a list, with the token to watch from.
#[derive(Debug, Clone)]
pub struct ListPage<T> {
    /// The items, in the order of the list; at most the given limit.
    pub items: Vec<T>,
    /// Whether the list has more items than the limit.
    pub more: bool,
    /// The token to watch from: that of the first page, so that nothing between the pages is
    /// missed.
    pub resume_token: String,
}

/// Elements per page: few round trips, and answers that stay small.
const PAGE: u32 = 500;

macro_rules! whole {
    ($(#[$doc:meta])* $name:ident, $list:ident, $items:ident: $item:ident, $request:ident { $($extra:ident: $type:ty),* }) => {
        $(#[$doc])*
        pub async fn $name(&self, $($extra: $type,)* filter: &str, limit: usize) -> Result<ListPage<v1::$item>, CallError> {
            let mut listed = ListPage { items: Vec::new(), more: false, resume_token: String::new() };
            let mut page_token = String::new();
            loop {
                let left = limit.saturating_sub(listed.items.len());
                let page_size = u32::try_from(left).unwrap_or(PAGE).clamp(1, PAGE);
                let filter = filter.to_owned();
                let request = v1::$request { page_size, page_token, filter, $($extra: $extra.to_owned()),* };
                let mut page = self.$list(request).await?;
                if listed.resume_token.is_empty() {
                    listed.resume_token = page.resume_token;
                }
                listed.more = page.$items.len() > left || !page.next_page_token.is_empty();
                page.$items.truncate(left);
                listed.items.append(&mut page.$items);
                if !listed.more || listed.items.len() >= limit {
                    return Ok(listed);
                }
                page_token = page.next_page_token;
            }
        }
    };
}

impl Client {
    whole! {
        /// Drivers that a filter lets through, at most `limit`.
        drivers, list_drivers, drivers: Driver, ListDriversRequest {}
    }
    whole! {
        /// Applications that a filter lets through, at most `limit`.
        applications, list_applications, applications: Application, ListApplicationsRequest {}
    }
    whole! {
        /// Executors of one application (empty: of all) that a filter lets through, at most
        /// `limit`.
        executors, list_executors, executors: Executor, ListExecutorsRequest { application_id: &str }
    }
    whole! {
        /// Workers that a filter lets through, at most `limit`.
        workers, list_workers, workers: Worker, ListWorkersRequest {}
    }
}
