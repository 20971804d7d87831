//! Filters of lists: `state=RUNNING AND worker=w1 AND labels.team=red`. Terms are joined by AND; a
//! value with spaces stands in double quotes. An unknown term is refused by name, so that a list
//! never shows more than was asked for.

use std::collections::BTreeMap;

use muster_types::{ApplicationState, DriverState, ExecutorState, WorkerState};

use crate::text::{excerpt, is_label_key};
use crate::{FieldViolations, Path};

/// A state with its words.
pub trait StateWord: Copy + 'static {
    /// Every state.
    const STATES: &'static [Self];
    /// The word of this state in filters.
    fn word(self) -> &'static str;
}

macro_rules! state_word {
    ($($state:ty),+) => {$(
        impl StateWord for $state {
            const STATES: &'static [Self] = &<$state>::ALL;
            fn word(self) -> &'static str { self.as_str() }
        }
    )+};
}
state_word!(DriverState, ApplicationState, ExecutorState, WorkerState);

/// The conditions of a list. All that are set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<S> {
    /// The state.
    pub state: Option<S>,
    /// Name or uid of the worker.
    pub worker: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl<S> Default for Filter<S> {
    fn default() -> Self {
        Filter { state: None, worker: None, labels: BTreeMap::new() }
    }
}

impl<S> Filter<S> {
    /// Whether an object with these labels has all labels of the filter.
    pub fn labels_match(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// The terms that a list understands beside `state`.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilterTerms {
    pub(super) worker: bool,
    pub(super) labels: bool,
}

const MAX_FILTER: usize = 4096;

/// Reads a filter, or adds violations.
pub(super) fn filter<S: StateWord>(text: &str, terms: FilterTerms, violations: &mut FieldViolations) -> Filter<S> {
    let path = Path::root("filter");
    let mut filter = Filter::default();
    if text.len() > MAX_FILTER {
        violations.add(&path, format!("has {} bytes; at most {MAX_FILTER}", text.len()));
        return filter;
    }
    let words = match split(text) {
        Ok(words) => words,
        Err(message) => {
            violations.add(&path, message);
            return filter;
        }
    };
    for (position, word) in words.iter().enumerate() {
        let joint = position % 2 == 1;
        match (joint, word.eq_ignore_ascii_case("AND")) {
            (true, true) if position + 1 < words.len() => {}
            (true, true) => violations.add(&path, "ends with AND"),
            (true, false) => violations.add(&path, format!("{:?}: terms are joined by AND", excerpt(word, 64))),
            (false, _) => term(word, terms, &mut filter, &path, violations),
        }
    }
    filter
}

fn term<S: StateWord>(
    word: &str,
    terms: FilterTerms,
    filter: &mut Filter<S>,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) {
    let shown = excerpt(word, 64);
    let Some((field, value)) = word.split_once('=') else {
        violations.add(path, format!("{shown:?} is not FIELD=VALUE"));
        return;
    };
    let twice = match field {
        "state" => match S::STATES.iter().find(|state| state.word().eq_ignore_ascii_case(value)) {
            Some(state) => filter.state.replace(*state).is_some(),
            None => {
                let known: Vec<_> = S::STATES.iter().map(|state| state.word()).collect();
                violations.add(path, format!("{shown:?}: states are {}", known.join(", ")));
                false
            }
        },
        "worker" if terms.worker => filter.worker.replace(value.to_owned()).is_some(),
        _ => match field.strip_prefix("labels.").filter(|key| terms.labels && is_label_key(key)) {
            Some(key) => filter.labels.insert(key.to_owned(), value.to_owned()).is_some(),
            None => {
                violations.add(path, format!("{shown:?}: this list knows {}", understood(terms)));
                false
            }
        },
    };
    if twice {
        violations.add(path, format!("{field:?} is given twice"));
    }
}

fn understood(terms: FilterTerms) -> &'static str {
    match (terms.worker, terms.labels) {
        (true, true) => "state=, worker= and labels.KEY=",
        (true, false) => "state= and worker=",
        (false, true) => "state= and labels.KEY=",
        (false, false) => "state=",
    }
}

/// Splits at spaces outside of double quotes, and takes the quotes away. A backslash within quotes
/// keeps the next character.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().push(chars.next().ok_or("ends within quotes")?),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quoted { Err("ends within quotes") } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: FilterTerms = FilterTerms { worker: true, labels: true };

    fn read(text: &str) -> Result<Filter<DriverState>, FieldViolations> {
        let mut violations = FieldViolations::new();
        let filter = filter(text, ALL, &mut violations);
        violations.unless_any(filter)
    }

    #[test]
    fn terms_are_joined_by_and() {
        let filter = read(r#"state=running AND worker=w-1 and labels.example.com/team="red \"and\" blue""#).unwrap();
        assert_eq!(filter.state, Some(DriverState::Running));
        assert_eq!(filter.worker.as_deref(), Some("w-1"));
        assert_eq!(filter.labels["example.com/team"], r#"red "and" blue"#);
        assert_eq!(read("  ").unwrap(), Filter::default());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let cases = [
            ("state=ASLEEP", "states are PENDING"),
            ("cores=3", "\"cores=3\": this list knows state="),
            ("state=FAILED OR state=LOST", "joined by AND"),
            ("state=FAILED AND", "ends with AND"),
            ("state", "not FIELD=VALUE"),
            ("state=LOST AND state=FAILED", "given twice"),
            ("worker=\"a", "within quotes"),
            ("labels.=x", "this list knows"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,80}") {
            let _ = read(&text);
        }
    }
}
