//! The cipher, the keyring and the type that permits revealing a value are private.
fn main() {}

use coffer::vault::crypto::cipher::reveal;
use coffer::vault::crypto::keyring::Keyring;
use coffer::vault::policy::Revealable;
