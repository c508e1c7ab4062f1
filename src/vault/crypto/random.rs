//! Random bytes from the operating system.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::vault::error::Error;

/// The source of randomness. It is a value so that a function that needs randomness shows it in
/// its signature.
#[derive(Debug, Clone, Copy)]
pub struct Random;

impl Random {
    /// Returns random bytes that need not be secret: ids, nonces, salts.
    pub fn bytes<const N: usize>(self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns random bytes that must stay secret: keys, tokens.
    pub fn secret<const N: usize>(self) -> Result<Zeroizing<[u8; N]>, Error> {
        let mut bytes = Zeroizing::new([0; N]);
        self.fill(bytes.as_mut_slice())?;
        Ok(bytes)
    }

    fn fill(self, bytes: &mut [u8]) -> Result<(), Error> {
        SystemRandom::new().fill(bytes).map_err(|_| Error::NoRandomness)
    }

    /// Returns `count` characters of `alphabet`, each equally likely.
    pub(in crate::vault) fn text(
        self,
        alphabet: &[u8],
        count: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        debug_assert!((1..=256).contains(&alphabet.len()));
        // The largest multiple of the alphabet's size that fits in a byte's range; accepting bytes
        // above it would favor the first characters.
        let fair = 256 - 256 % alphabet.len();
        let mut text = Zeroizing::new(Vec::with_capacity(count));
        while text.len() < count {
            let pool = self.secret::<256>()?;
            let picks = pool.iter().map(|byte| usize::from(*byte)).filter(|pick| *pick < fair);
            let missing = count - text.len();
            text.extend(picks.take(missing).map(|pick| alphabet[pick % alphabet.len()]));
        }
        Ok(text)
    }
}
