//! SplitMix64, a well-known mixer of 64 bits.

/// What each step adds.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads bits, so that a change of one changes half of them.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
