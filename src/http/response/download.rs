//! An answer that is sent while it is made.
//!
//! Must never: let a client take what broke off for the whole. Such an answer
//! ends without HTTP's own end, so that the client sees an error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use tokio::sync::mpsc;

pub(in crate::http) const OCTETS: &str = "application/octet-stream";

/// How fast a client has to be.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// One that takes nothing for so long is not waited for.
    stalled: Duration,
    /// Nor one that is later than this ...
    grace: Duration,
    /// ... behind so many bytes a second: whoever takes a backup keeps others from
    /// taking one, and the writer remembers for them what it changes.
    bytes_per_second: u64,
}

const PACE: Pace = Pace {
    stalled: Duration::from_secs(60),
    grace: Duration::from_secs(60),
    bytes_per_second: 128 << 10,
};

impl Pace {
    /// How long after its start a download may have come no further than this.
    fn until(&self, sent: u64) -> Duration {
        self.grace + Duration::from_millis(sent.saturating_mul(1000) / self.bytes_per_second)
    }
}

/// Pieces that may wait for the client.
const WAITING_PIECES: usize = 2;

enum Piece {
    Bytes(Bytes),
    /// With what is to be done once it is taken.
    End(Box<dyn FnOnce() + Send>),
}

/// About how many bytes will come. It is no `Content-Length`: nobody may rely on it.
const EXPECTED_BYTES: HeaderName = HeaderName::from_static("x-coffer-expected-bytes");

/// Where the pieces come out. They are given to one response.
#[derive(Debug, Clone)]
pub(in crate::http) struct Download {
    pieces: Arc<Mutex<Option<mpsc::Receiver<Piece>>>>,
    expected: Option<u64>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece(..)")
    }
}

impl Download {
    /// Calls `next` for one piece after the other, off the async threads, as long
    /// as the client takes them at a pace. `ended` is called, likewise, once all
    /// of them and the end are taken.
    pub fn start(
        next: impl FnMut() -> Result<Option<Vec<u8>>, String> + Send + 'static,
        ended: impl FnOnce(u64) + Send + 'static,
    ) -> Self {
        Self::at_pace(PACE, next, ended)
    }

    fn at_pace(
        pace: Pace,
        mut next: impl FnMut() -> Result<Option<Vec<u8>>, String> + Send + 'static,
        ended: impl FnOnce(u64) + Send + 'static,
    ) -> Self {
        let (send, pieces) = mpsc::channel(WAITING_PIECES);
        actix_web::rt::spawn(async move {
            let (began, mut sent) = (Instant::now(), 0);
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
                        let end = Piece::End(Box::new(move || ended(sent)));
                        let _ = send.send(end).await;
                        return;
                    }
                    Err(problem) => {
                        log::error!("a download broke off: {problem}");
                        return;
                    }
                };
                let left = pace.until(sent).saturating_sub(began.elapsed());
                match tokio::time::timeout(pace.stalled.min(left), send.send(piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        log::info!("a download broke off: the client went away");
                        return;
                    }
                    Err(_) => {
                        log::info!("a download broke off: the client was too slow");
                        return;
                    }
                }
            }
        });
        Self { pieces: Arc::new(Mutex::new(Some(pieces))), expected: None }
    }

    /// With what is said beforehand about its length.
    pub fn expecting(self, bytes: Option<u64>) -> Self {
        Self { expected: bytes, ..self }
    }

    pub fn into_response(self, response: &mut HttpResponseBuilder) -> HttpResponse {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static(OCTETS)));
        if let Some(bytes) = self.expected {
            response.insert_header((EXPECTED_BYTES, HeaderValue::from(bytes)));
        }
        response.streaming(stream::unfold(pieces, |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
                Some(Piece::End(ended)) => {
                    // It may write a file.
                    let _ = actix_web::web::block(ended).await;
                    None
                }
                None => Some((Err(std::io::Error::other("it broke off")), None)),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use actix_web::body::MessageBody;

    use super::*;

    /// So many pieces of a KiB, and how many were made.
    fn pieces(count: u64) -> (impl FnMut() -> Result<Option<Vec<u8>>, String>, Arc<AtomicU64>) {
        let made = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&made);
        let next = move || {
            let more = counted.fetch_add(1, Ordering::Relaxed) < count;
            Ok(more.then(|| vec![0; 1024]))
        };
        (next, made)
    }

    const GENEROUS: Pace = PACE;
    const STRICT: Pace = Pace {
        stalled: Duration::from_secs(60),
        grace: Duration::ZERO,
        bytes_per_second: 100 << 10,
    };

    fn noted() -> (Arc<AtomicU64>, impl FnOnce(u64) + Send + 'static) {
        let noted = Arc::new(AtomicU64::new(u64::MAX));
        let note = Arc::clone(&noted);
        (noted, move |bytes| note.store(bytes, Ordering::Relaxed))
    }

    /// The next piece of a body.
    async fn taken(body: &mut actix_web::body::BoxBody) -> Option<Result<Bytes, String>> {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_next(context));
        next.await.map(|piece| piece.map_err(|error| error.to_string()))
    }

    /// It was noted when the last piece was queued: for a small backup before
    /// anybody had taken a byte.
    #[test]
    fn a_download_is_noted_when_its_end_is_taken_and_not_before() {
        actix_web::rt::System::new().block_on(async {
            let (next, made) = pieces(1);
            let (noted, note) = noted();
            let download = Download::at_pace(GENEROUS, next, note);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            while made.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(taken(&mut body).await.unwrap().unwrap().len(), 1024);
            assert_eq!(noted.load(Ordering::Relaxed), u64::MAX);
            assert!(taken(&mut body).await.is_none());
            assert_eq!(noted.load(Ordering::Relaxed), 1024);
        });
    }

    #[test]
    fn a_client_that_goes_away_before_the_end_has_no_backup() {
        actix_web::rt::System::new().block_on(async {
            let (next, _) = pieces(1);
            let (noted, note) = noted();
            let download = Download::at_pace(GENEROUS, next, note);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            assert!(taken(&mut body).await.is_some());
            drop(body);
            assert_eq!(noted.load(Ordering::Relaxed), u64::MAX);
        });
    }

    /// It takes something now and then, and would hold the only place for hours.
    #[test]
    fn a_client_that_is_too_slow_loses_its_turn() {
        actix_web::rt::System::new().block_on(async {
            let (next, made) = pieces(u64::MAX);
            let (noted, note) = noted();
            let download = Download::at_pace(STRICT, next, note);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            // The channel is full, and its producer waits for 10 ms a piece.
            let last = loop {
                match taken(&mut body).await {
                    Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(30)).await,
                    other => break other,
                }
            };
            assert!(matches!(last, Some(Err(_))), "it ends without HTTP's end");
            assert!(made.load(Ordering::Relaxed) < 100);
            assert_eq!(noted.load(Ordering::Relaxed), u64::MAX);
        });
    }
}
