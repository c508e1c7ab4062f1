//! The cipher, the keys and the ticket that opens a value cannot be named.
fn main() {}

use coffer::vault::crypto::cipher::reveal;
use coffer::vault::crypto::keyring::Keyring;
use coffer::vault::policy::Revealable;
