//! A response that is sent while it is produced, such as a backup.
//!
//! Must never: let a client take a partial download for a complete one. A download that fails ends
//! without HTTP's end marker, so that the client sees an error.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::domain::lock;
use crate::http::response::media_type::OCTETS;

/// How fast a client has to read.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// A client that reads nothing for this long is disconnected.
    stalled: Duration,
    /// How far a client may fall behind `bytes_per_second` before it is disconnected.
    grace: Duration,
    /// The slowest rate allowed. A backup in progress blocks other backups, and makes the writer
    /// keep copies of what it changes, so no client may drag it out.
    bytes_per_second: u64,
}

const PACE: Pace = Pace {
    stalled: Duration::from_secs(60),
    grace: Duration::from_secs(60),
    bytes_per_second: 128 << 10,
};

impl Pace {
    /// Returns how long after its start a download may still be at `sent` bytes.
    fn until(&self, sent: u64) -> Duration {
        self.grace + Duration::from_millis(sent.saturating_mul(1000) / self.bytes_per_second)
    }
}

/// How many pieces are produced ahead of the client.
const WAITING_PIECES: usize = 2;

enum Piece {
    Bytes(Bytes),
    /// The end, with what to call once the client has read everything.
    End(Box<dyn FnOnce() + Send>),
}

/// An estimate of the total size, for progress bars. Unlike `Content-Length` it is not exact.
const EXPECTED_BYTES: HeaderName = HeaderName::from_static("x-coffer-expected-bytes");

/// The receiving end of a download. It can be turned into one response only.
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
    /// Starts producing pieces by calling `next` on a blocking thread, as long as the client keeps
    /// up. Calls `ended` with the number of bytes, also on a blocking thread, once the client has
    /// read all pieces and the end.
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
                        // A client that sees the end may ask for the next backup at once.
                        drop(next);
                        let end = Piece::End(Box::new(move || ended(sent)));
                        let _ = send.send(end).await;
                        return;
                    }
                    Err(problem) => {
                        log::error!("download aborted: {problem}");
                        return;
                    }
                };
                let left = pace.until(sent).saturating_sub(began.elapsed());
                match tokio::time::timeout(pace.stalled.min(left), send.send(piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        log::info!("download aborted: the client disconnected");
                        return;
                    }
                    Err(_) => {
                        log::info!("download aborted: the client was too slow");
                        return;
                    }
                }
            }
        });
        Self { pieces: Arc::new(Mutex::new(Some(pieces))), expected: None }
    }

    /// Announces an estimated size.
    pub fn expecting(self, bytes: Option<u64>) -> Self {
        Self { expected: bytes, ..self }
    }

    pub fn into_response(self, response: &mut HttpResponseBuilder) -> HttpResponse {
        let pieces = lock(&self.pieces).take();
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static(OCTETS)));
        if let Some(bytes) = self.expected {
            response.insert_header((EXPECTED_BYTES, HeaderValue::from(bytes)));
        }
        response.streaming(stream::unfold(pieces, |pieces| async move {
            let mut pieces = pieces?;
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
                Some(Piece::End(ended)) => {
                    // May write a file.
                    let _ = actix_web::web::block(ended).await;
                    None
                }
                None => Some((Err(std::io::Error::other("the download was aborted")), None)),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use actix_web::body::MessageBody;

    use super::*;

    /// A source of `count` pieces of 1 KiB, and a counter of how many were produced.
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

    fn recorded() -> (Arc<AtomicU64>, impl FnOnce(u64) + Send + 'static) {
        let recorded = Arc::new(AtomicU64::new(u64::MAX));
        let record = Arc::clone(&recorded);
        (recorded, move |bytes| record.store(bytes, Ordering::Relaxed))
    }

    /// Reads the next piece of a body.
    async fn read_piece(body: &mut actix_web::body::BoxBody) -> Option<Result<Bytes, String>> {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_next(context));
        next.await.map(|piece| piece.map_err(|error| error.to_string()))
    }

    /// Regression: a small backup used to be recorded when its last piece was queued, before the
    /// client had read a byte.
    #[test]
    fn a_download_is_recorded_when_its_end_is_read_and_not_before() {
        actix_web::rt::System::new().block_on(async {
            let (next, made) = pieces(1);
            let (recorded, record) = recorded();
            let download = Download::at_pace(GENEROUS, next, record);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            while made.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(read_piece(&mut body).await.unwrap().unwrap().len(), 1024);
            assert_eq!(recorded.load(Ordering::Relaxed), u64::MAX);
            assert!(read_piece(&mut body).await.is_none());
            assert_eq!(recorded.load(Ordering::Relaxed), 1024);
        });
    }

    #[test]
    fn a_client_that_disconnects_before_the_end_has_no_backup() {
        actix_web::rt::System::new().block_on(async {
            let (next, _) = pieces(1);
            let (recorded, record) = recorded();
            let download = Download::at_pace(GENEROUS, next, record);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            assert!(read_piece(&mut body).await.is_some());
            drop(body);
            assert_eq!(recorded.load(Ordering::Relaxed), u64::MAX);
        });
    }

    /// A client that reads a little now and then would block other backups for hours.
    #[test]
    fn a_client_that_is_too_slow_is_disconnected() {
        actix_web::rt::System::new().block_on(async {
            let (next, made) = pieces(u64::MAX);
            let (recorded, record) = recorded();
            let download = Download::at_pace(STRICT, next, record);
            let mut body = download.into_response(&mut HttpResponse::Ok()).into_body();
            // The channel is full, and its producer waits for 10 ms per piece.
            let last = loop {
                match read_piece(&mut body).await {
                    Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(30)).await,
                    other => break other,
                }
            };
            assert!(matches!(last, Some(Err(_))), "it must end without HTTP's end marker");
            assert!(made.load(Ordering::Relaxed) < 100);
            assert_eq!(recorded.load(Ordering::Relaxed), u64::MAX);
        });
    }
}
