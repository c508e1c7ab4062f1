//! The twin of the cases that must not compile: what they do with the right
//! types does. Without it they could all fail for want of an import.
#![allow(dead_code)]
fn plaintext(json: &str) -> bool {
    let plaintext: coffer::vault::Plaintext = serde_json::from_str(json).unwrap();
    plaintext.fits(65_536)
}

fn revealed(revealed: coffer::vault::Revealed) -> String {
    serde_json::to_string(&revealed).unwrap()
}

async fn reveal(
    vault: &coffer::vault::Vault,
    permit: coffer::vault::Permit<coffer::vault::Reveal>,
) {
    let _ = vault.reveal_secret(permit, "sec_1").await;
}

async fn write(vault: &coffer::vault::Vault, permit: &coffer::vault::Permit<coffer::vault::Write>) {
    let _ = vault.delete_secret(permit, "sec_1", None).await;
}

fn key(info: coffer::domain::SecretInfo) -> coffer::domain::KeyName {
    info.key
}

fn token(token: coffer::access::Token) -> String {
    token.expose().to_owned()
}
