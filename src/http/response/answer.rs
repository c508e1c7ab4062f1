//! Successful responses: bytes with the content type that the wire contract gives them.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderValue, SET_COOKIE};
use actix_web::web::Bytes;
use serde::Serialize;

use crate::http::response::download::Download;
use crate::http::response::media_type::{AGE, JSON};

/// A successful response: rendered JSON, a download or a sealed bundle.
#[derive(Debug, Clone)]
pub(in crate::http) struct Answer {
    pub body: Bytes,
    /// Whether this repeats the answer to an earlier request with the same Idempotency-Key.
    pub replayed: bool,
    /// A session cookie to set or to clear.
    pub cookie: Option<HeaderValue>,
    /// Streamed instead of `body`.
    pub download: Option<Download>,
    /// Set if `body` is a sealed bundle and not JSON.
    pub bundle: Option<BundleTag>,
}

/// The tag of a bundle's content, and whether the client already has that content.
#[derive(Debug, Clone)]
pub(in crate::http) struct BundleTag {
    tag: String,
    is_known: bool,
}

impl Answer {
    pub fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body)
            .expect("answers have text keys and only types that serde_json can write");
        Self::rendered(body)
    }

    /// JSON that is rendered already.
    pub fn rendered(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), replayed: false, cookie: None, download: None, bundle: None }
    }

    /// Bytes that are sent while they are produced.
    pub fn download(download: Download) -> Self {
        Self { download: Some(download), ..Self::rendered(Bytes::new()) }
    }

    /// An age file, and the tag of its content.
    pub fn sealed(bytes: Vec<u8>, tag: &str) -> Self {
        let bundle = BundleTag { tag: tag.to_owned(), is_known: false };
        Self { bundle: Some(bundle), ..Self::rendered(bytes) }
    }

    /// 304: the client already has the content with this tag.
    pub fn not_modified(tag: &str) -> Self {
        let bundle = BundleTag { tag: tag.to_owned(), is_known: true };
        Self { bundle: Some(bundle), ..Self::rendered(Bytes::new()) }
    }

    pub fn into_response(self) -> HttpResponse {
        if let Some(BundleTag { tag, is_known }) = self.bundle {
            // Weak (RFC 9110, section 8.8.1): sealing the same content again yields other bytes.
            let tag = (ETAG, format!("W/\"{tag}\""));
            if is_known {
                return HttpResponse::NotModified().insert_header(tag).finish();
            }
            return HttpResponse::Ok()
                .insert_header(tag)
                .insert_header((CONTENT_TYPE, HeaderValue::from_static(AGE)))
                .body(self.body);
        }
        let mut response = HttpResponse::Ok();
        if let Some(download) = self.download {
            return download.into_response(&mut response);
        }
        response.insert_header((CONTENT_TYPE, JSON));
        if self.replayed {
            response.insert_header(("idempotent-replayed", "true"));
        }
        if let Some(cookie) = self.cookie {
            response.insert_header((SET_COOKIE, cookie));
        }
        response.body(self.body)
    }
}
