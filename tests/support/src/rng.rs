//! Random numbers that make a failure repeatable, as far as threads allow.

use std::time::{SystemTime, UNIX_EPOCH};

/// The splitmix64 generator.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

/// The seed of a test's random numbers. Prints it when the test fails.
#[derive(Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// Takes the seed from `COFFER_TEST_SEED`, or else from the time.
    pub fn of_this_run() -> Self {
        let given = std::env::var("COFFER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self(given.unwrap_or(u64::try_from(now).unwrap()))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("to repeat: COFFER_TEST_SEED={}", self.0);
        }
    }
}
