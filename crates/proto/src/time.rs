//! Conversions of times and lengths of time.

use std::time::Duration;

use muster_types::WallTime;

use crate::WireError;

/// A wall time as a timestamp.
pub fn timestamp(time: WallTime) -> prost_types::Timestamp {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    // Below one thousand million, so it fits.
    let nanos = (time.0 % 1000) as i32 * 1_000_000;
    prost_types::Timestamp { seconds, nanos }
}

/// A timestamp as a wall time, to the millisecond; a time before 1970 becomes the start of 1970.
pub fn wall_time(timestamp: &prost_types::Timestamp) -> WallTime {
    let Ok(seconds) = u64::try_from(timestamp.seconds) else { return WallTime(0) };
    let millis = u64::try_from(timestamp.nanos / 1_000_000).unwrap_or(0).min(999);
    WallTime(seconds.saturating_mul(1000).saturating_add(millis))
}

/// A length as a duration of the wire; a longer one than the wire can express becomes the longest.
pub fn duration(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        // Below one thousand million, so it fits.
        nanos: length.subsec_nanos() as i32,
    }
}

/// The problem of a duration that is not a length.
pub(crate) const BAD_LENGTH: &str = "is not a length: negative, or with nanoseconds out of range";

/// A length of the wire; `None` when it is negative or its nanoseconds are out of range.
pub fn length(duration: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

/// A length that a peer must have sent.
pub(crate) fn required_length(
    duration: Option<prost_types::Duration>,
    field: &'static str,
) -> Result<Duration, WireError> {
    let duration = crate::wire_error::required(duration, field)?;
    length(&duration).ok_or_else(|| WireError::new(field, BAD_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wall_times_come_back(millis in 0..=253_402_300_799_999u64) {
            prop_assert_eq!(wall_time(&timestamp(WallTime(millis))), WallTime(millis));
        }

        #[test]
        fn lengths_come_back(seconds in 0..=i64::MAX as u64, nanos in 0..1_000_000_000u32) {
            let there = Duration::new(seconds, nanos);
            prop_assert_eq!(length(&duration(there)), Some(there));
        }

        #[test]
        fn any_pair_is_taken_or_refused(seconds: i64, nanos: i32) {
            let _ = length(&prost_types::Duration { seconds, nanos });
            let _ = wall_time(&prost_types::Timestamp { seconds, nanos });
        }
    }
}
