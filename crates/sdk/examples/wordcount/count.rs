//! Counts the words of a stream of bytes, and joins counts of separate parts.
//!
//! A word is a maximal run of ASCII letters, lower-cased: what `tr -cs A-Za-z '\n' | tr A-Z a-z`
//! makes. A run may cross from one file into the next, as with `cat`, and so from one share into
//! the next. Therefore a count keeps its edges.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};

/// The words of a piece of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// The run at the beginning, once a byte that is no letter has followed it.
    head: Option<Vec<u8>>,
    /// The run at the end.
    tail: Vec<u8>,
    /// Whole words.
    words: HashMap<Vec<u8>, u64>,
}

impl Count {
    /// Counts the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| !byte.is_ascii_alphabetic()) {
            self.extend_tail(&rest[..end]);
            self.end_run();
            rest = &rest[end + 1..];
        }
        self.extend_tail(rest);
    }

    /// Joins the count of the next part of the stream.
    pub(crate) fn join(&mut self, next: Count) {
        match next.head {
            None => self.tail.extend(next.tail),
            Some(head) => {
                self.tail.extend(head);
                self.end_run();
                for (word, count) in next.words {
                    *self.words.entry(word).or_default() += count;
                }
                self.tail = next.tail;
            }
        }
    }

    /// The most frequent words; words of equal count are in alphabetical order.
    pub(crate) fn commonest(mut self, number: usize) -> Vec<(String, u64)> {
        if let Some(head) = self.head.take().filter(|head| !head.is_empty()) {
            *self.words.entry(head).or_default() += 1;
        }
        if !self.tail.is_empty() {
            *self.words.entry(std::mem::take(&mut self.tail)).or_default() += 1;
        }
        let mut words: Vec<_> = self.words.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        words.truncate(number);
        words.into_iter().map(|(word, count)| (String::from_utf8_lossy(&word).into_owned(), count)).collect()
    }

    fn extend_tail(&mut self, letters: &[u8]) {
        self.tail.extend(letters.iter().map(u8::to_ascii_lowercase));
    }

    /// Ends the run at the end, because a byte that is no letter followed it.
    fn end_run(&mut self) {
        if self.head.is_none() {
            self.head = Some(std::mem::take(&mut self.tail));
        } else if !self.tail.is_empty() {
            match self.words.get_mut(&self.tail) {
                Some(count) => *count += 1,
                None => {
                    self.words.insert(self.tail.clone(), 1);
                }
            }
            self.tail.clear();
        }
    }

    /// Writes it as lines: head (`-` when there is none), tail, then `COUNT WORD` each.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(if self.head.is_some() { b"+" } else { b"-" })?;
        out.write_all(self.head.as_deref().unwrap_or_default())?;
        out.write_all(b"\n")?;
        out.write_all(&self.tail)?;
        writeln!(out, "\n{}", self.words.len())?;
        for (word, count) in &self.words {
            write!(out, "{count} ")?;
            out.write_all(word)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Reads what [`Count::write`] wrote.
    pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Count> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "a count is not written like this");
        let head = read_line(input)?;
        let head = match head.split_first() {
            Some((b'+', head)) => Some(head.to_vec()),
            Some((b'-', [])) => None,
            _ => return Err(broken()),
        };
        let tail = read_line(input)?;
        let number: usize =
            String::from_utf8(read_line(input)?).ok().and_then(|n| n.parse().ok()).ok_or_else(broken)?;
        let mut words = HashMap::new();
        for _ in 0..number {
            let line = read_line(input)?;
            let space = line.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
            let count = std::str::from_utf8(&line[..space]).ok().and_then(|n| n.parse().ok()).ok_or_else(broken)?;
            words.insert(line[space + 1..].to_vec(), count);
        }
        Ok(Count { head, tail, words })
    }
}

/// A line without its end. It is an error if the stream ends in the middle of a count, because the
/// sender died.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Far above any line of ours, so that a broken peer cannot fill the memory.
    input.take(64 << 20).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Count {
        let mut count = Count::default();
        count.feed(text.as_bytes());
        count
    }

    #[test]
    fn a_stream_counts_the_same_however_it_is_cut() {
        let text = "The quick-brown Fox; the fox1the\nTHE end";
        let whole = count(text).commonest(10);
        assert_eq!(whole[0], ("the".to_owned(), 4));
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut joined = count(&text[..first]);
                joined.join(count(&text[first..second]));
                joined.join(count(&text[second..]));
                assert_eq!(joined.commonest(10), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["", "word", "a b", " a b a ", "1"] {
            let written = count(text);
            let mut bytes = Vec::new();
            written.write(&mut bytes).expect("memory takes all");
            assert_eq!(Count::read(&mut bytes.as_slice()).expect("it is sound"), written);
            assert!(Count::read(&mut &bytes[..bytes.len() - 1]).is_err() || bytes.is_empty());
        }
    }
}
