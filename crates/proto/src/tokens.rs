//! Opaque texts that callers hand back: where to resume a watch, where a page ends, which version a
//! record had. They are base64 for URLs without padding (RFC 4648, section 5), which survives
//! command lines and query strings.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_types::Commit;

/// The text is not a token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this service; hand back the one that was answered, as it is")]
pub struct ParseTokenError;

/// A position in the order of all events: the next event is the one that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResumeToken {
    /// The store's generation: a token of another one means another history.
    pub generation: u64,
    /// The commit of the last event that was seen.
    pub commit: Commit,
    /// Its index within the commit.
    pub index: u32,
}

impl ResumeToken {
    /// The position after all events of a commit.
    pub fn after(generation: u64, commit: Commit) -> ResumeToken {
        ResumeToken { generation, commit, index: u32::MAX }
    }
}

/// The first byte of each kind of token, so that one is not taken for another and the format can
/// change.
const RESUME: u8 = 0x11;
const PAGE: u8 = 0x22;
/// The length of the checksum at the end of a page token. A key has no form by which one that was
/// cut short could be told.
const CHECKSUM: usize = 4;

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(21);
        bytes.push(RESUME);
        bytes.extend_from_slice(&self.index.to_be_bytes());
        push_varint(&mut bytes, self.generation);
        push_varint(&mut bytes, self.commit.0);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for ResumeToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseTokenError)?;
        let rest = bytes.strip_prefix(&[RESUME]).ok_or(ParseTokenError)?;
        let (index, mut rest) = rest.split_first_chunk::<4>().ok_or(ParseTokenError)?;
        let generation = take_varint(&mut rest)?;
        let commit = take_varint(&mut rest)?;
        if !rest.is_empty() {
            return Err(ParseTokenError);
        }
        Ok(ResumeToken { generation, commit: Commit(commit), index: u32::from_be_bytes(*index) })
    }
}

/// A list whose pages have tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagedList {
    /// Of drivers.
    Drivers,
    /// Of applications.
    Applications,
    /// Of the executors of this application, as the caller named it; `None` of all.
    Executors(Option<String>),
    /// Of workers.
    Workers,
    /// Of tokens.
    Tokens,
}

impl PagedList {
    /// A checksum of the list and its filter (the text as the caller gave it). It detects a token
    /// that is used with another list, and protects against no attacker. Names of applications have
    /// no byte 0, so what is hashed has one meaning.
    fn fingerprint(&self, filter: &str) -> u32 {
        let (list, of) = match self {
            PagedList::Drivers => (0, ""),
            PagedList::Applications => (1, ""),
            PagedList::Executors(of) => (2, of.as_deref().unwrap_or_default()),
            PagedList::Workers => (3, ""),
            PagedList::Tokens => (4, ""),
        };
        let mut hasher = crc32fast::Hasher::new();
        for part in [&[list], of.as_bytes(), &[0], filter.as_bytes()] {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// The position where a page ended, bound to its list and that list's filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken {
    /// The key of the last element of the page; the next page begins after it.
    pub after: String,
    list: u32,
}

impl PageToken {
    /// The token of the position after `after` in the list of `filter` (its text as the caller gave
    /// it).
    pub fn new(after: impl Into<String>, list: &PagedList, filter: &str) -> PageToken {
        PageToken { after: after.into(), list: list.fingerprint(filter) }
    }

    /// Whether it was made for this list and filter.
    pub fn suits(&self, list: &PagedList, filter: &str) -> bool {
        self.list == list.fingerprint(filter)
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(5 + self.after.len() + CHECKSUM);
        bytes.push(PAGE);
        bytes.extend_from_slice(&self.list.to_be_bytes());
        bytes.extend_from_slice(self.after.as_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for PageToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseTokenError)?;
        let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(ParseTokenError)?;
        if crc32fast::hash(bytes) != u32::from_be_bytes(*checksum) {
            return Err(ParseTokenError);
        }
        let rest = bytes.strip_prefix(&[PAGE]).ok_or(ParseTokenError)?;
        let (list, after) = rest.split_first_chunk::<4>().ok_or(ParseTokenError)?;
        let after = std::str::from_utf8(after).map_err(|_| ParseTokenError)?;
        Ok(PageToken { after: after.to_owned(), list: u32::from_be_bytes(*list) })
    }
}

/// The etag of a record's version.
pub fn etag(version: u64) -> String {
    format!("v{version:x}")
}

/// The version of an etag.
pub fn version_of_etag(etag: &str) -> Result<u64, ParseTokenError> {
    let digits = etag.strip_prefix('v').filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(ParseTokenError)
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, ParseTokenError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(ParseTokenError)?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part).ok_or(ParseTokenError)?;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ParseTokenError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_resume_token_comes_back_as_it_went(generation: u64, commit: u64, index: u32) {
            let token = ResumeToken { generation, commit: Commit(commit), index };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn a_page_token_comes_back_and_knows_its_filter(after in ".{0,80}", filter in ".{0,40}") {
            let token = PageToken::new(after, &PagedList::Drivers, &filter);
            let parsed: PageToken = token.to_string().parse().unwrap();
            prop_assert!(parsed.suits(&PagedList::Drivers, &filter) && !parsed.suits(&PagedList::Workers, &filter));
            prop_assert!(!parsed.suits(&PagedList::Drivers, "state=OTHER AND worker=x"));
            prop_assert_eq!(parsed, token);
        }

        #[test]
        fn any_text_is_taken_or_refused_and_never_panics(text in ".{0,60}") {
            let _ = text.parse::<ResumeToken>();
            let _ = text.parse::<PageToken>();
            let _ = version_of_etag(&text);
        }

        #[test]
        fn an_etag_comes_back(version: u64) {
            prop_assert_eq!(version_of_etag(&etag(version)), Ok(version));
        }
    }

    #[test]
    fn a_token_has_one_text() {
        let token = PageToken::new("ab", &PagedList::Drivers, "").to_string();
        let without_last = &token[..token.len() - 1];
        for other in [format!("{token}="), format!("{token}=="), format!("{token}A"), without_last.to_owned()] {
            assert!(other.parse::<PageToken>().is_err(), "{other}");
        }
        // The last character has bits that carry nothing; they have one value.
        let same_bytes = (b'A'..=b'z').map(|last| format!("{without_last}{}", char::from(last)));
        assert_eq!(same_bytes.filter(|other| other.parse::<PageToken>().is_ok()).collect::<Vec<_>>(), [token]);
    }

    #[test]
    fn one_kind_of_token_is_not_taken_for_another() {
        let resume = ResumeToken::after(1, Commit(7)).to_string();
        assert!(resume.parse::<PageToken>().is_err());
        assert!(PageToken::new("a", &PagedList::Drivers, "").to_string().parse::<ResumeToken>().is_err());
    }
}
