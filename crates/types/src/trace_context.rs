//! The place of something in a distributed trace.

use std::fmt;
use std::str::FromStr;

/// A span of a trace, as the W3C recommendation *Trace Context* names it. Whoever goes on with the
/// work makes spans below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    flags: u8,
}

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// The length of a `traceparent` of version 00: version, trace, span and flags in hexadecimal.
const LENGTH: usize = 55;

impl TraceContext {
    /// The header of a call, in lower case as HTTP/2 has it.
    pub const HEADER: &str = "traceparent";
    /// The environment variable of a program.
    pub const VARIABLE: &str = "TRACEPARENT";

    /// A span of a trace; `None` where one of them is 0, which stands for none.
    pub fn new(trace: u128, span: u64, is_sampled: bool) -> Option<TraceContext> {
        let flags = if is_sampled { SAMPLED } else { 0 };
        (trace != 0 && span != 0).then_some(TraceContext { trace, span, flags })
    }

    /// The trace.
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// The span within it.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Whether the trace is recorded. What is below a span that is not is not either.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The text of a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// The text is no `traceparent`. The recommendation has it ignored, as if it had not been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTraceContextError;

impl fmt::Display for ParseTraceContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not VERSION-TRACE-SPAN-FLAGS in lower hexadecimal digits")
    }
}

impl std::error::Error for ParseTraceContextError {}

impl FromStr for TraceContext {
    type Err = ParseTraceContextError;

    /// Reads a `traceparent` header. Later versions begin like 00, and may go on after another
    /// hyphen; of the flags, those that are known here are kept.
    fn from_str(text: &str) -> Result<TraceContext, ParseTraceContextError> {
        let digits = |range: std::ops::Range<usize>| {
            let part = text.get(range)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let read = || {
            let are_apart = [2, 35, 52].into_iter().all(|place| text.as_bytes().get(place) == Some(&b'-'));
            let version = digits(0..2).filter(|version| *version != 0xff && are_apart)?;
            let ends_well = match version {
                0 => text.len() == LENGTH,
                _ => text.len() == LENGTH || text.as_bytes().get(LENGTH) == Some(&b'-'),
            };
            let (trace, span, flags) = (digits(3..35)?, digits(36..52)?, digits(53..LENGTH)?);
            let is_sampled = flags & u128::from(SAMPLED) != 0;
            TraceContext::new(trace, u64::try_from(span).ok()?, is_sampled).filter(|_| ends_well)
        };
        read().ok_or(ParseTraceContextError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(
            (context.trace(), context.span()),
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7)
        );
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), EXAMPLE);
        let unsampled = EXAMPLE.replace("-01", "-00");
        assert_eq!(unsampled.parse::<TraceContext>().map(|context| context.to_string()), Ok(unsampled));
    }

    #[test]
    fn a_later_version_is_read_like_the_first_and_unknown_flags_are_left_out() {
        for later in [EXAMPLE.replace("00-4", "01-4"), format!("{}-more", EXAMPLE.replace("00-4", "cc-4"))] {
            assert_eq!(later.parse::<TraceContext>(), EXAMPLE.parse(), "{later}");
        }
        assert_eq!(EXAMPLE.replace("-01", "-ff").parse::<TraceContext>(), EXAMPLE.parse());
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let long = format!("{EXAMPLE}-more");
        let zero_trace = EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16));
        let upper = EXAMPLE.replace("4bf9", "4BF9");
        let (version, apart) = (EXAMPLE.replace("00-4", "ff-4"), EXAMPLE.replace('-', "_"));
        let glued = format!("{}more", EXAMPLE.replace("00-4", "01-4"));
        let signed = EXAMPLE.replace("4bf92f35", "+bf92f35");
        let wide = "é".repeat(30);
        let cut = &EXAMPLE[..54];
        for text in ["", "00", cut, &long, &zero_trace, &zero_span, &upper, &version, &apart, &glued, &signed, &wide] {
            assert_eq!(text.parse::<TraceContext>(), Err(ParseTraceContextError), "{text}");
        }
    }
}
