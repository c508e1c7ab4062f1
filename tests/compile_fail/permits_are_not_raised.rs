//! A permit of one level cannot be used for another level.
fn main() {}

async fn reveal(
    vault: &coffer::vault::Vault,
    permit: coffer::vault::Permit<coffer::vault::Read>,
) {
    let _ = vault.reveal_secret(permit, "sec_1").await;
}

async fn write(
    vault: &coffer::vault::Vault,
    permit: &coffer::vault::Permit<coffer::vault::Read>,
) {
    let _ = vault.delete_secret(permit, "sec_1", None).await;
}
