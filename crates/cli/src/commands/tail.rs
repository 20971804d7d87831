//! Prints the last lines of a log; the wire counts in bytes only.

use muster_client::v1::{LogOffset, ReadLogRequest};

use super::log_copy::{LogCopy, OpenLine, Out};
use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// The size of the first read, which is enough for most tails.
const FIRST_WINDOW: u64 = 64 << 10;
/// The size of the largest read; lines that need more are cut at their head.
const LARGEST_WINDOW: u64 = 64 << 20;

/// The bytes at the end of a log.
struct TailWindow {
    bytes: Vec<u8>,
    /// Where it ends.
    end: Option<LogOffset>,
    /// Whether it begins with the first stored byte.
    whole: bool,
}

/// Prints the last lines, then follows when that is asked for.
pub(super) async fn tail_lines(
    master: &MasterClient,
    request: ReadLogRequest,
    lines: u32,
    out: Out,
    name: String,
) -> Result<(), CommandFailure> {
    let mut size = FIRST_WINDOW;
    let window = loop {
        let window = read(master, &request, size).await?;
        let enough = window.whole || line_starts(&window.bytes) > lines as usize;
        if enough || size >= LARGEST_WINDOW {
            break window;
        }
        size *= 4;
    };
    out.write(last_lines(&window.bytes, lines as usize)).map_err(CommandFailure::Output)?;
    if !request.follow {
        return Ok(());
    }
    LogCopy { request: ReadLogRequest { offset: window.end, ..request }, out, name, line: OpenLine::default() }
        .run_alone(master)
        .await
}

async fn read(master: &MasterClient, request: &ReadLogRequest, size: u64) -> Result<TailWindow, CommandFailure> {
    let request = ReadLogRequest { tail_bytes: size, follow: false, ..request.clone() };
    let mut log = master.client().read_log(request);
    let mut window = TailWindow { bytes: Vec::new(), end: None, whole: false };
    let mut first = true;
    while let Some(chunk) = log.next().await.map_err(|error| master.read_failure(error))? {
        window.bytes.extend_from_slice(&chunk.data);
        if let Some(offset) = chunk.offset {
            let data = u64::try_from(chunk.data.len()).unwrap_or(u64::MAX);
            window.end = Some(LogOffset { byte: offset.byte.saturating_add(data), ..offset });
        }
        // A read that begins at the first byte has the whole log.
        if first && chunk.offset.is_some_and(|offset| offset.byte == 0) {
            window.whole = true;
        }
        first = false;
    }
    window.whole |= window.bytes.len() as u64 <= size.saturating_sub(1);
    Ok(window)
}

/// The number of line breaks; a line begins after each.
fn line_starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// The last lines of a text; a last line without a line break counts.
fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place);
    breaks.take(lines).nth(lines - 1).map_or(bytes, |place| &bytes[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        let text = |lines| String::from_utf8_lossy(last_lines(b"a\nb\nc\n", lines)).into_owned();
        assert_eq!(
            (text(0), text(1), text(2), text(9)),
            ("".into(), "c\n".into(), "b\nc\n".into(), "a\nb\nc\n".into())
        );
        assert_eq!(last_lines(b"a\nb", 1), b"b", "a line that has not ended counts");
        assert_eq!(last_lines(b"", 3), b"");
        assert_eq!(last_lines(b"\n\n\n", 2), b"\n\n");
    }
}
