//! Random numbers from the kernel, fetched in blocks: one system call for 256 uids.

use muster_core::Entropy;

/// Bytes fetched at once.
const BLOCK: usize = 4096;

pub(crate) struct KernelEntropy {
    block: Box<[u8; BLOCK]>,
    used: usize,
}

/// The kernel gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("cannot read random numbers from the kernel")]
pub struct NoEntropy(#[source] getrandom::Error);

impl KernelEntropy {
    /// Fetches a first block, so that a machine without randomness is found at start.
    pub(crate) fn open() -> Result<KernelEntropy, NoEntropy> {
        let mut block = Box::new([0; BLOCK]);
        getrandom::fill(&mut block[..]).map_err(NoEntropy)?;
        Ok(KernelEntropy { block, used: 0 })
    }
}

impl Entropy for KernelEntropy {
    fn next(&mut self) -> u128 {
        if self.used + 16 > BLOCK {
            getrandom::fill(&mut self.block[..]).expect("the kernel's randomness, once there, does not go away");
            self.used = 0;
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.block[self.used..self.used + 16]);
        // A number that was handed out must not appear in a memory dump or be handed out again.
        self.block[self.used..self.used + 16].fill(0);
        self.used += 16;
        u128::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_repeats_across_blocks() {
        let mut entropy = KernelEntropy::open().unwrap();
        let seen: std::collections::BTreeSet<u128> = (0..1000).map(|_| entropy.next()).collect();
        assert_eq!(seen.len(), 1000);
        assert!(!seen.contains(&0));
    }
}
