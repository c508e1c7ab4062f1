//! Texts from users and files: root keys, names, times, networks. An accepted text is written back
//! as a text with the same meaning.
#![no_main]

use coffer::domain::{Email, EnvironmentName, KeyName, Network, Timestamp};
use coffer::vault::{RootKey, SealedRootKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = RootKey::parse(text) {
        let again = RootKey::parse(&key.to_text()).ok();
        assert_eq!(
            again.map(|key| key.fingerprint().to_string()),
            Some(key.fingerprint().to_string())
        );
    }
    if let Ok(key) = KeyName::parse(text) {
        assert_eq!(key.as_str(), text);
    }
    if let Ok(name) = EnvironmentName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Some(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
    }
    let _ = SealedRootKey::parse(text);
    let _ = Email::parse(text);
    let _ = Network::parse(text);
});
