//! `/api/admin/backup`: downloading a backup.

use crate::vault::Administer;

use crate::http::request::call::Call;
use crate::http::request::parse::NoBody;
use crate::http::response::answer::Answer;
use crate::http::response::download::Download;
use crate::http::response::error::ApiError;

pub(in crate::http) async fn create(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let counting = actix_web::web::Data::clone(&state);
    // The estimate is for a progress bar. It is made before the backup starts, because writes are
    // slower while a backup is in progress.
    let counted = actix_web::web::block(move || {
        let expected = counting.vault.estimated_backup_bytes(&permit);
        (permit, expected)
    });
    let (permit, expected) = counted.await?;
    let backup = state.vault.create_backup(&permit).await?;
    let at = backup.at();
    let made = actix_web::web::block(move || backup.pieces()).await?;
    let mut pieces = made.map_err(ApiError::internal)?;
    let next = move || pieces.next_piece().map_err(|error| error.to_string());
    let ended = move |bytes| {
        if let Err(error) = state.vault.note_last_download(at, bytes) {
            log::error!(
                "the time of the backup download was not recorded in the data directory: {error}"
            );
        }
    };
    Ok(Answer::download(Download::start(next, ended).expecting(expected)))
}
