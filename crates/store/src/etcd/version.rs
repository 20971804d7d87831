//! Versions of etcd: the supported ones, and the known faults of some.

use std::fmt;

/// Major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Whether a version is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Good,
    /// It works, with this fault.
    Warned(&'static str),
    /// It may lose data.
    Lossy,
    /// It lacks something that is needed, or is unknown.
    Unsupported,
}

impl Version {
    /// Parses a version such as `3.4.23` or `3.6.0-rc.1`.
    pub(super) fn parse(text: &str) -> Option<Version> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let version = Version(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }

    pub(super) fn judge(self) -> Judgement {
        match self {
            // From etcd's change log: after a kill under load, members may disagree on what was
            // committed. Fixed in 3.5.3.
            Version(3, 5, 0..=2) => Judgement::Lossy,
            // etcd issue 15247: an etcd leader that hangs on its disk or its processor, and is
            // replaced meanwhile, continues later and revokes leases that were renewed at its
            // successor. If ours is among them, another master leads sooner than necessary. Fixed
            // in 3.4.31, in 3.5.13 and in every 3.6.
            Version(3, 4, 0..=30) | Version(3, 5, 3..=12) => {
                Judgement::Warned("an overloaded etcd leader may revoke leases that were renewed (etcd issue 15247)")
            }
            Version(3, 4..=6, _) => Judgement::Good,
            _ if self > Version(3, 6, u32::MAX) => Judgement::Warned("this version was never tried with Muster"),
            _ => Judgement::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged() {
        let judge = |text: &str| Version::parse(text).map(Version::judge);
        for (text, expected) in [
            ("3.3.27", Some(Judgement::Unsupported)),
            ("2.3.8", Some(Judgement::Unsupported)),
            ("3.4.31", Some(Judgement::Good)),
            ("3.5.2", Some(Judgement::Lossy)),
            ("3.5.13", Some(Judgement::Good)),
            ("3.6.0-rc.1", Some(Judgement::Good)),
            ("3", None),
            ("3.4.x", None),
            ("3.4.5.6", None),
        ] {
            assert_eq!(judge(text), expected, "{text}");
        }
        for text in ["3.4.23", "3.4.30", "3.5.3", "3.5.12"] {
            assert!(matches!(judge(text), Some(Judgement::Warned(fault)) if fault.contains("15247")), "{text}");
        }
        assert!(matches!(judge("3.7.0"), Some(Judgement::Warned(_))));
    }
}
