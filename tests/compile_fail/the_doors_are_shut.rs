//! The cipher, the keys and the ticket that opens a value cannot be named.
fn main() {}

use coffer::vault::cipher::reveal;
use coffer::vault::keyring::Keyring;
use coffer::vault::policy::Revealable;
