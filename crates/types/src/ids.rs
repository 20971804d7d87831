//! Ids. Uids are 128 random bits made by a master (or, for workers and leaders, by themselves) and
//! never used again; names are for people and unique only among records that are still kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The text of a uid is not 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseUidError;

impl fmt::Display for ParseUidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a uid is 32 hexadecimal digits")
    }
}

impl std::error::Error for ParseUidError {}

/// Whether a text has the form of a uid. No name may: wherever a name or uid is taken, it could be
/// another's uid.
pub fn is_uid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

macro_rules! uid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// Big-endian bytes, as on the wire and in keys.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// From big-endian bytes; `None` unless there are exactly 16.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(|bytes| Self(u128::from_be_bytes(bytes)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseUidError;

            fn from_str(text: &str) -> Result<Self, ParseUidError> {
                if !is_uid(text) {
                    return Err(ParseUidError);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseUidError)
            }
        }
    };
}

uid!(
    /// A cluster: made when its store is first opened.
    ClusterUid
);
uid!(
    /// One term of one master; distinguishes two leaders that claim one epoch.
    LeaderUid
);
uid!(
    /// A worker. The worker makes this uid and keeps it in its state directory.
    WorkerUid
);
uid!(
    /// A driver: one submission, with all its attempts.
    DriverUid
);
uid!(
    /// An application.
    ApplicationUid
);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text unchecked; its bounds are checked where a message is decoded
            /// (`proto`).
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        // Allows lookups with a `&str` in maps that are keyed by the name.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A driver's name.
    DriverId
);
name!(
    /// An application's name.
    ApplicationId
);
name!(
    /// A worker's name.
    WorkerName
);
name!(
    /// Makes a mutation idempotent. The caller chooses it; at most 64 bytes.
    RequestId
);
