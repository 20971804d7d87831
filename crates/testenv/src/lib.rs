//! What tests need of the machine that they run on, and what becomes of a test where the machine
//! lacks it; and a client of raw HTTP/2, with which servers are tried. For tests alone: every crate
//! may have it among its development dependencies.

mod small_disk;
#[cfg(feature = "wire")]
pub mod wire;

pub use small_disk::SmallDisk;

/// Whether this machine is without a feature that a test needs. The test fails there, unless the
/// feature is named in `MUSTER_TEST_WITHOUT` (names separated by commas): what is not tested is
/// known to whoever runs the tests.
///
/// # Panics
///
/// Where the feature is missing and not named.
pub fn lacks(feature: &str, has: bool) -> bool {
    let named = std::env::var("MUSTER_TEST_WITHOUT").unwrap_or_default();
    assert!(
        has || named.split(',').any(|name| name == feature),
        "this machine lacks {feature}: name it in MUSTER_TEST_WITHOUT to test without it"
    );
    !has
}
