//! The web console: files that are part of the binary, and the headers they are served with.
//!
//! Owns: the paths of the files, and what a page of the console may do in a browser.
//! Must never: serve anything that was not compiled in; read a credential, or answer differently
//! because of one. The console's scripts get their data from the API, as any other client does.
//!
//! These paths are not in the route table, because they are not part of the API. They do not count
//! against a rate limit either: a page loads many files at once, and a single 429 would break it.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    REFERRER_POLICY, X_FRAME_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use crate::http::request::anonymous;
use crate::http::request::if_none_match::names;

/// A file of the console.
#[derive(Debug, Clone, Copy)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            path: concat!("/console/", $name),
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../../console/", $name)),
        }
    };
}

const ASSETS: &[Asset] = &[
    asset!("app.css", CSS),
    asset!("icon.svg", SVG),
    asset!("account.js", JAVASCRIPT),
    asset!("api.js", JAVASCRIPT),
    asset!("app.js", JAVASCRIPT),
    asset!("audit.js", JAVASCRIPT),
    asset!("entry.js", JAVASCRIPT),
    asset!("environments.js", JAVASCRIPT),
    asset!("format.js", JAVASCRIPT),
    asset!("list.js", JAVASCRIPT),
    asset!("login.js", JAVASCRIPT),
    asset!("people.js", JAVASCRIPT),
    asset!("router.js", JAVASCRIPT),
    asset!("secrets.js", JAVASCRIPT),
    asset!("status.js", JAVASCRIPT),
    asset!("table.js", JAVASCRIPT),
    asset!("ui.js", JAVASCRIPT),
    asset!("vars.js", JAVASCRIPT),
    asset!("workloads.js", JAVASCRIPT),
];

/// The page. It is the same for every view: its script reads the path.
const PAGE: Asset =
    Asset { path: "/", content_type: HTML, bytes: include_bytes!("../../../console/index.html") };

/// The first segments of the views' paths. Up to two more segments may follow; only the script
/// knows what they mean, and only the API knows whether what they name exists.
const VIEWS: &str = "login|setup|account|environments|secrets|vars|workloads|users|service-accounts|tokens|audit|status";

/// The console's Content-Security-Policy. Scripts and styles come only from this server, and
/// nothing is sent anywhere else. Trusted Types without any policy prevent text from becoming markup or
/// script, so a value that contains `<script>` stays a value. `form-action` is there because a form
/// that no script handles would put its input into a URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The console may only write to the clipboard, for copying a token that is shown once.
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), \
                           clipboard-read=(), clipboard-write=(self)";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    // Revalidated on every load, so that after an upgrade a browser never mixes modules of two
    // versions.
    (CACHE_CONTROL, "no-cache"),
];

/// Adds the console to the app.
pub(in crate::http) fn configure(config: &mut web::ServiceConfig) {
    for asset in ASSETS {
        let mut paths = vec![asset.path.to_owned()];
        if asset.content_type == SVG {
            // Browsers request it on their own, also for pages of the API.
            paths.push("/favicon.ico".to_owned());
        }
        config.service(resource(paths, *asset));
    }
    let view = format!("/{{view:{VIEWS}}}");
    // A segment may be empty: a path may end in a slash.
    let below = format!("{view}/{{a:[^/]*}}");
    let two_below = format!("{below}/{{b:[^/]*}}");
    config.service(resource(vec![PAGE.path.to_owned(), view, below, two_below], PAGE));
}

fn resource(paths: Vec<String>, asset: Asset) -> actix_web::Resource {
    let tag = tag(asset.bytes);
    let serve = move |request: HttpRequest, payload: web::Payload| {
        let tag = tag.clone();
        let answer = move |request: HttpRequest| async move { asset.response(&request, &tag) };
        anonymous::answer(request, payload, false, answer)
    };
    web::resource(paths)
        .route(web::get().to(serve.clone()))
        .route(web::head().to(serve))
        .default_service(web::to(|request, payload| {
            anonymous::method_not_allowed(request, payload, "GET, HEAD".to_owned())
        }))
}

/// Returns the page for an unknown path if a person asked for it, who gets a link back from there.
/// Programs do not accept HTML; they get the error as JSON, and so does everyone under `/api`.
pub(in crate::http) fn not_found_page(request: &HttpRequest) -> Option<HttpResponse> {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let is_person = accepts.is_some_and(|types| types.contains("text/html"));
    let first = request.path().split('/').nth(1).unwrap_or_default();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    (is_person && reads && !["api", "console"].contains(&first)).then(|| {
        let mut response = HttpResponse::NotFound();
        insert_headers(&mut response);
        response.insert_header((CONTENT_TYPE, PAGE.content_type)).body(PAGE.bytes)
    })
}

fn insert_headers(response: &mut HttpResponseBuilder) {
    for (name, value) in HEADERS {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
}

impl Asset {
    fn response(self, request: &HttpRequest, tag: &str) -> HttpResponse {
        let has_it = names(request.headers(), tag);
        let mut response = if has_it { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        insert_headers(&mut response);
        response.insert_header((ETAG, format!("\"{tag}\"")));
        if has_it {
            return response.finish();
        }
        response.insert_header((CONTENT_TYPE, self.content_type)).body(self.bytes)
    }
}

/// Computes an entity tag, which only has to differ between versions of a file. It does not protect
/// against tampering: anyone who could change the file could change the tag.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
