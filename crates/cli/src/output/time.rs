//! Times and lengths of time, for people.

use std::time::Duration;

use prost_types::Timestamp;

/// The time at which something is shown, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DisplayClock(pub(crate) i64);

impl DisplayClock {
    /// Now.
    pub(crate) fn now() -> DisplayClock {
        DisplayClock(i64::try_from(muster_os::clock::wall()).unwrap_or(i64::MAX))
    }

    /// How long ago a time was, such as `3m12s`; empty when it is not set.
    pub(crate) fn age(self, time: Option<&Timestamp>) -> String {
        time.map(|time| length(between(millis(time), self.0))).unwrap_or_default()
    }

    /// How long it is until a time, likewise; `now` when it has passed.
    pub(crate) fn until(self, time: &Timestamp) -> String {
        let left = between(self.0, millis(time));
        if left.is_zero() { "now".into() } else { format!("in {}", length(left)) }
    }

    /// The time with its age, such as `2026-01-02T03:04:05Z (3m12s ago)`; empty when it is not set.
    pub(crate) fn stamp(self, time: Option<&Timestamp>) -> String {
        match time {
            Some(set) => format!("{} ({} ago)", instant(set), self.age(time)),
            None => String::new(),
        }
    }

    /// How long something ran: from `start` to `end`, or until now. Empty when it has not started.
    pub(crate) fn span(self, start: Option<&Timestamp>, end: Option<&Timestamp>) -> String {
        start.map(|start| length(between(millis(start), end.map_or(self.0, millis)))).unwrap_or_default()
    }
}

/// A time in UTC, to the second.
pub(crate) fn instant(time: &Timestamp) -> String {
    Timestamp { seconds: time.seconds, nanos: 0 }.to_string()
}

/// A time in UTC, to the millisecond.
pub(crate) fn precise(time: &Timestamp) -> String {
    let mut text = Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
    if text.ends_with('Z') {
        text.pop();
        text.push_str(&format!(".{:03}Z", time.nanos.clamp(0, 999_999_999) / 1_000_000));
    }
    text
}

/// A length of time in its two largest units: `450ms`, `12s`, `3m12s`, `2h5m`, `4d3h`.
pub(crate) fn length(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let two = |large: u64, name: &str, small: u64, unit: &str| match small {
        0 => format!("{large}{name}"),
        _ => format!("{large}{name}{small}{unit}"),
    };
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A length of time as the wire has it.
pub(crate) fn wire_length(time: &prost_types::Duration) -> String {
    length(Duration::try_from(*time).unwrap_or_default())
}

fn millis(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}

/// The clocks of two machines differ, so a negative length counts as zero.
fn between(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_two_largest_units() {
        for (millis, text) in [
            (0, "0ms"),
            (450, "450ms"),
            (12_900, "12s"),
            (60_000, "1m"),
            (192_000, "3m12s"),
            (7_500_000, "2h5m"),
            (356_400_000, "4d3h"),
        ] {
            assert_eq!(length(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn times_are_shown_with_their_age() {
        let time = Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 };
        let clock = DisplayClock(1_700_000_192_005);
        assert_eq!(clock.stamp(Some(&time)), "2023-11-14T22:13:20Z (3m12s ago)");
        assert_eq!(precise(&time), "2023-11-14T22:13:20.005Z");
        assert_eq!(clock.stamp(None), "");
        assert_eq!(DisplayClock(0).age(Some(&time)), "0ms", "a clock that is behind shows nothing negative");
        assert_eq!(DisplayClock(1_700_000_000_005 - 3000).until(&time), "in 3s");
        assert_eq!(clock.until(&time), "now");
    }
}
