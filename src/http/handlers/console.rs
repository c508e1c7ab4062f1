//! The web console: files that are part of the binary, and the headers under
//! which a browser runs them.
//!
//! Owns: which paths they have, and what a page of ours may do.
//! Must never: serve anything that was not there when the program was built; read
//! a credential, or answer differently for one. What the console shows, its
//! scripts fetch through the API, as any other client does.
//!
//! None of these paths is in the route table: they are no part of the API. They
//! do not count against a rate limit either, because a page needs many files at
//! once, and one 429 among them would leave it broken.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    REFERRER_POLICY, X_FRAME_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use crate::http::handlers::public;
use crate::http::request::if_none_match::names;

/// A file as it is served.
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

/// The page, which is the same at every path of a view: its script reads the path.
const PAGE: Asset =
    Asset { path: "/", content_type: HTML, bytes: include_bytes!("../../../console/index.html") };

/// The first segments of the views' paths. Up to two segments of any content
/// follow; what they mean is the script's business, and a path that names nothing
/// is told from a good one only once the API was asked.
const VIEWS: &str = "login|setup|account|environments|secrets|vars|workloads|users|service-accounts|tokens|audit|status";

/// What a page of ours may do. Scripts and styles come from files of this server
/// alone, nothing goes anywhere else, and with Trusted Types that nobody may make
/// no text becomes markup or a script, so that a value with `<script>` in it stays
/// a value. `form-action`: a form that a script failed to catch would put what was
/// typed into a URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Nothing of the machine but writing to the clipboard, which copies a token that
/// is shown once.
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), \
                           clipboard-read=(), clipboard-write=(self)";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    // Asked for every time, answered with 304 most times: after an upgrade no
    // module meets those of the version before.
    (CACHE_CONTROL, "no-cache"),
];

/// Adds the files to the app.
pub(in crate::http) fn configure(config: &mut web::ServiceConfig) {
    for asset in ASSETS {
        let mut paths = vec![asset.path.to_owned()];
        if asset.content_type == SVG {
            // Browsers ask for it by themselves, for the API's pages as well.
            paths.push("/favicon.ico".to_owned());
        }
        config.service(resource(paths, *asset));
    }
    let view = format!("/{{view:{VIEWS}}}");
    // An empty segment is content, too: a path may end in a slash.
    let below = format!("{view}/{{a:[^/]*}}");
    let two_below = format!("{below}/{{b:[^/]*}}");
    config.service(resource(vec![PAGE.path.to_owned(), view, below, two_below], PAGE));
}

fn resource(paths: Vec<String>, asset: Asset) -> actix_web::Resource {
    let tag = tag(asset.bytes);
    let serve = move |request: HttpRequest, payload: web::Payload| {
        let tag = tag.clone();
        let answer = move |request: HttpRequest| async move { asset.response(&request, &tag) };
        public::answer_anybody(request, payload, false, answer)
    };
    web::resource(paths)
        .route(web::get().to(serve.clone()))
        .route(web::head().to(serve))
        .default_service(web::to(|request, payload| {
            public::method_not_allowed(request, payload, "GET, HEAD".to_owned())
        }))
}

/// The page, for a person who came to an address that there is not: it says so, and
/// leads back. A program does not ask for HTML, and gets the error as JSON; so does
/// whoever asks for something of the API.
pub(in crate::http) fn not_there(request: &HttpRequest) -> Option<HttpResponse> {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let is_person = accepts.is_some_and(|types| types.contains("text/html"));
    let first = request.path().split('/').nth(1).unwrap_or_default();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    (is_person && reads && !["api", "console"].contains(&first)).then(|| {
        let mut response = HttpResponse::NotFound();
        guard(&mut response);
        response.insert_header((CONTENT_TYPE, PAGE.content_type)).body(PAGE.bytes)
    })
}

fn guard(response: &mut HttpResponseBuilder) {
    for (name, value) in HEADERS {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
}

impl Asset {
    fn response(self, request: &HttpRequest, tag: &str) -> HttpResponse {
        let has_it = names(request.headers(), tag);
        let mut response = if has_it { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        guard(&mut response);
        response.insert_header((ETAG, format!("\"{tag}\"")));
        if has_it {
            return response.finish();
        }
        response.insert_header((CONTENT_TYPE, self.content_type)).body(self.bytes)
    }
}

/// Tells one version of a file from another. It proves nothing about the bytes,
/// and need not: who could change them could change the tag.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
