//! Counts the words of bytes.
//!
//! A word is a maximal run of ASCII letters of a file, lower-cased: what `tr -cs A-Za-z '\n' | tr
//! A-Z a-z` makes of a file that ends with its last line.

use std::collections::HashMap;

/// The words of some files.
#[derive(Debug, Default)]
pub(crate) struct WordCounts {
    words: HashMap<Vec<u8>, u64>,
}

impl WordCounts {
    /// Counts the words of a whole file, and changes it for that.
    pub(crate) fn add_file(&mut self, bytes: &mut [u8]) {
        bytes.make_ascii_lowercase();
        for word in bytes.split(|byte| !byte.is_ascii_lowercase()).filter(|word| !word.is_empty()) {
            match self.words.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(self.words.insert(word.to_vec(), 1)),
            }
        }
    }

    /// Each word with its count.
    pub(crate) fn into_pairs(self) -> Vec<(String, u64)> {
        let pairs = self.words.into_iter();
        pairs.map(|(word, count)| (String::from_utf8_lossy(&word).into_owned(), count)).collect()
    }
}

/// The most frequent words; words of equal count are in alphabetical order.
pub(crate) fn commonest(mut words: Vec<(String, u64)>, number: usize) -> Vec<(String, u64)> {
    words.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    words.truncate(number);
    words
}
