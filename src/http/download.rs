//! An answer that is sent while it is made.
//!
//! Must never: let a client take what broke off for the whole. Such an answer
//! ends without HTTP's own end, so that the client sees an error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use tokio::sync::mpsc;

pub(super) const OCTETS: &str = "application/octet-stream";

/// A client that takes nothing for so long is not waited for.
const STALLED: Duration = Duration::from_secs(60);
/// Pieces that may wait for the client.
const WAITING_PIECES: usize = 2;

enum Piece {
    Bytes(Bytes),
    End,
}

/// Where the pieces come out. They are given to one response.
#[derive(Debug, Clone)]
pub(super) struct Download(Arc<Mutex<Option<mpsc::Receiver<Piece>>>>);

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece(..)")
    }
}

impl Download {
    /// Calls `next` for one piece after the other, off the async threads, as long
    /// as the client takes them. `ended` is called once the client has taken, or
    /// is about to take, the last one.
    pub fn start(
        mut next: impl FnMut() -> Result<Option<Vec<u8>>, String> + Send + 'static,
        ended: impl FnOnce(u64) + 'static,
    ) -> Self {
        let (send, pieces) = mpsc::channel(WAITING_PIECES);
        actix_web::rt::spawn(async move {
            let mut sent = 0;
            loop {
                let made = actix_web::web::block(move || (next(), next)).await;
                let Ok((made, back)) = made else { return };
                next = back;
                let piece = match made {
                    Ok(Some(bytes)) => {
                        sent += bytes.len() as u64;
                        Piece::Bytes(bytes.into())
                    }
                    Ok(None) => {
                        // Who sees the end may ask for the next one at once.
                        drop(next);
                        if !send.is_closed() {
                            ended(sent);
                        }
                        let _ = send.send(Piece::End).await;
                        return;
                    }
                    Err(problem) => {
                        log::error!("a download broke off: {problem}");
                        return;
                    }
                };
                match tokio::time::timeout(STALLED, send.send(piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => {
                        log::info!("a download broke off: the client went away");
                        return;
                    }
                }
            }
        });
        Self(Arc::new(Mutex::new(Some(pieces))))
    }

    pub fn into_response(self, response: &mut HttpResponseBuilder) -> HttpResponse {
        let pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static(OCTETS)));
        response.streaming(stream::unfold(pieces, |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
                Some(Piece::End) => None,
                None => Some((Err(std::io::Error::other("it broke off")), None)),
            }
        }))
    }
}
