//! Requests for pages.

use muster_types::{ApplicationState, DriverState, ExecutorState, TokenId, WorkerState};

use super::checks::shown_text;
use super::filter::{Filter, FilterTerms, StateWord, filter};
use crate::{FieldViolations, PageToken, PagedList, Path, v1};

/// Elements of a page when the caller names no number.
pub const DEFAULT_PAGE_SIZE: usize = 100;
/// The most elements of a page; a larger request gets this many, as is customary (AIP-158).
pub const MAX_PAGE_SIZE: usize = 1000;

/// The page that a list requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<S> {
    /// The most elements.
    pub size: usize,
    /// The key after which the page begins, as it was given to [`Page::next_token`]; `None` begins
    /// at the start.
    pub after: Option<String>,
    /// The conditions of the list.
    pub filter: Filter<S>,
    list: PagedList,
    filter_text: String,
}

impl<S> Page<S> {
    /// The token of the page that begins after `key`.
    pub fn next_token(&self, key: &str) -> String {
        PageToken::new(key, &self.list, &self.filter_text).to_string()
    }
}

fn page<S: StateWord>(
    list: PagedList,
    size: u32,
    token: &str,
    text: String,
    terms: FilterTerms,
    violations: &mut FieldViolations,
) -> Page<S> {
    let filter = filter(&text, terms, violations);
    let after = begin(token, &list, &text, violations);
    Page { size: size_of(size), after, filter, list, filter_text: text }
}

/// The key after which a page begins.
fn begin(token: &str, list: &PagedList, filter: &str, violations: &mut FieldViolations) -> Option<String> {
    let path = Path::root("page_token");
    match token {
        "" => None,
        token => match token.parse::<PageToken>() {
            Ok(token) if token.suits(list, filter) => Some(token.after),
            Ok(_) => {
                violations.add(&path, "was made for another list or filter; keep both from page to page");
                None
            }
            Err(error) => {
                violations.add(&path, error.to_string());
                None
            }
        },
    }
}

fn size_of(wire: u32) -> usize {
    match usize::try_from(wire) {
        Ok(0) => DEFAULT_PAGE_SIZE,
        Ok(size) => size.min(MAX_PAGE_SIZE),
        Err(_) => MAX_PAGE_SIZE,
    }
}

/// A page of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTokens {
    /// The most elements.
    pub size: usize,
    /// The token after which the page begins; `None` begins at the start.
    pub after: Option<TokenId>,
}

impl ListTokens {
    /// The token of the page that begins after this one.
    pub fn next_token(last: TokenId) -> String {
        PageToken::new(last.to_string(), &PagedList::Tokens, "").to_string()
    }
}

/// Checks a list of tokens.
pub fn list_tokens(wire: &v1::ListTokensRequest) -> Result<ListTokens, FieldViolations> {
    let mut violations = FieldViolations::new();
    let after = begin(&wire.page_token, &PagedList::Tokens, "", &mut violations);
    let after = after.map(|key| {
        let id = key.parse::<TokenId>();
        id.map_err(|error| violations.add(&Path::root("page_token"), error.to_string()))
    });
    let after = after.and_then(Result::ok);
    violations.unless_any(ListTokens { size: size_of(wire.page_size), after })
}

/// Checks a list of drivers.
pub fn list_drivers(wire: v1::ListDriversRequest) -> Result<Page<DriverState>, FieldViolations> {
    let mut violations = FieldViolations::new();
    let terms = FilterTerms { worker: true, labels: true };
    let page = page(PagedList::Drivers, wire.page_size, &wire.page_token, wire.filter, terms, &mut violations);
    violations.unless_any(page)
}

/// Checks a list of applications.
pub fn list_applications(wire: v1::ListApplicationsRequest) -> Result<Page<ApplicationState>, FieldViolations> {
    let mut violations = FieldViolations::new();
    let terms = FilterTerms { worker: false, labels: true };
    let page = page(PagedList::Applications, wire.page_size, &wire.page_token, wire.filter, terms, &mut violations);
    violations.unless_any(page)
}

/// A page of executors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListExecutors {
    /// Only executors of this application, by name or uid.
    pub application: Option<String>,
    /// The page.
    pub page: Page<ExecutorState>,
}

/// Checks a list of executors.
pub fn list_executors(wire: v1::ListExecutorsRequest) -> Result<ListExecutors, FieldViolations> {
    let mut violations = FieldViolations::new();
    shown_text(&wire.application_id, 253, &Path::root("application_id"), &mut violations);
    let terms = FilterTerms { worker: true, labels: false };
    let application = Some(wire.application_id).filter(|id| !id.is_empty());
    let list = PagedList::Executors(application.clone());
    let page = page(list, wire.page_size, &wire.page_token, wire.filter, terms, &mut violations);
    violations.unless_any(ListExecutors { application, page })
}

/// Checks a list of workers.
pub fn list_workers(wire: v1::ListWorkersRequest) -> Result<Page<WorkerState>, FieldViolations> {
    let mut violations = FieldViolations::new();
    let terms = FilterTerms { worker: true, labels: true };
    let page = page(PagedList::Workers, wire.page_size, &wire.page_token, wire.filter, terms, &mut violations);
    violations.unless_any(page)
}
