//! Sizes and counts, for people.

/// Bytes in the largest unit that keeps at least one digit before the point: `512MiB`, `1.5GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scale = 1u64;
    while unit + 1 < UNITS.len() && bytes >= scale * 1024 {
        scale *= 1024;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 / u128::from(scale)) as u64;
    match tenths % 10 {
        0 => format!("{}{}", tenths / 10, UNITS[unit]),
        rest => format!("{}.{rest}{}", tenths / 10, UNITS[unit]),
    }
}

/// A count with its noun: `1 core`, `2 cores`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (512 << 20, "512MiB"),
            (3 << 29, "1.5GiB"),
            (u64::MAX, "16777215.9TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!((count(1, "core"), count(0, "core")), ("1 core".into(), "0 cores".into()));
    }
}
