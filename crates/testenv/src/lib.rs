//! What tests need of their machine, and what happens to a test if the machine lacks it; and a
//! client of raw HTTP/2 to test servers with. For tests alone: every crate may have it among its
//! development dependencies.

#[cfg(feature = "company")]
pub mod company;
#[cfg(feature = "company")]
pub mod issuer_key;
mod small_disk;
mod wall_clock;
#[cfg(feature = "wire")]
pub mod wire;

pub use small_disk::SmallDisk;
pub use wall_clock::WallClock;

/// Whether this machine lacks a feature that a test needs. The test fails then, unless the feature
/// is named in `MUSTER_TEST_WITHOUT` (names separated by commas): so whoever runs the tests knows
/// what is not tested.
///
/// # Panics
///
/// If the feature is missing and not named.
pub fn lacks(feature: &str, has: bool) -> bool {
    let named = std::env::var("MUSTER_TEST_WITHOUT").unwrap_or_default();
    assert!(
        has || named.split(',').any(|name| name == feature),
        "this machine lacks {feature}: name it in MUSTER_TEST_WITHOUT to test without it"
    );
    !has
}
