//! `/api/admin/backup`.

use crate::vault::Administer;

use super::answer::Answer;
use super::call::{Call, NoBody};
use super::download::Download;
use super::error::ApiError;

pub(super) async fn create(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let backup = state.vault.create_backup(&permit).await?;
    let at = backup.at();
    let shared = actix_web::web::Data::clone(&state);
    let made = actix_web::web::block(move || {
        // For a bar that shows how far it is. Where it cannot be told, what cannot be
        // read breaks the backup off a little later.
        let expected = shared.vault.live_bytes().ok();
        backup.pieces().map(|pieces| (pieces, expected))
    });
    let (mut pieces, expected) = made.await?.map_err(ApiError::internal)?;
    let next = move || pieces.next_piece().map_err(|error| error.to_string());
    let ended = move |bytes| {
        if let Err(error) = state.vault.note_last_download(at, bytes) {
            log::error!("the last download is not noted in the data directory: {error}");
        }
    };
    Ok(Answer::download(Download::start(next, ended).expecting(expected)))
}
