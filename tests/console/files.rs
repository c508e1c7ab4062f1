//! The web console as it is served: the type and security headers of every file, and what no file
//! may contain. `browser.rs` covers what the console shows and does.

use std::collections::BTreeMap;
use std::path::Path;

use support::{Reply, Setup, TestApp};

const MOST_BYTES: usize = 112 << 10;
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const VIEWS: [&str; 12] = [
    "login",
    "setup",
    "account",
    "environments",
    "secrets",
    "vars",
    "workloads",
    "users",
    "service-accounts",
    "tokens",
    "audit",
    "status",
];

/// Returns the files of the console by name.
fn files() -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn path_of(name: &str) -> String {
    if name == "index.html" { "/".to_owned() } else { format!("/console/{name}") }
}

fn type_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        other => panic!("unknown file type: {other}"),
    }
}

#[track_caller]
fn check_headers(reply: &Reply) {
    let all = [
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ];
    for (name, value) in all {
        let found: Vec<_> = reply.headers.iter().filter(|(header, _)| header == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].1, value, "{name}");
    }
    let permissions = reply.header("permissions-policy").unwrap();
    for one in ["camera", "microphone", "geolocation", "payment", "usb"] {
        assert!(permissions.contains(&format!("{one}=()")), "{permissions}");
    }
    assert!(permissions.contains("clipboard-write=(self)"), "{permissions}");
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
    assert_eq!(reply.header("set-cookie"), None);
    if reply.status == 404 {
        assert_eq!(reply.header("etag"), None, "a missing page has no tag");
        return;
    }
    let tag = reply.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
}

#[test]
fn every_file_is_served_with_its_type_and_headers() {
    let app = TestApp::start();
    for (name, text) in files() {
        let path = path_of(&name);
        for client in [app.anonymous(), app.admin(), app.bearer("garbage")] {
            let reply = client.get(&path);
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.text(), text, "{path}");
            assert_eq!(reply.header("content-type"), Some(type_of(&name)), "{path}");
            check_headers(&reply);
        }
        let (get, head) = (app.anonymous().get(&path), app.anonymous().head(&path));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        check_headers(&head);
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

#[test]
fn the_icon_is_where_browsers_look_for_one() {
    let app = TestApp::start();
    let (icon, asked) =
        (app.anonymous().get("/console/icon.svg"), app.anonymous().get("/favicon.ico"));
    assert_eq!((asked.status, asked.text()), (200, icon.text()));
    assert_eq!(asked.header("content-type"), Some("image/svg+xml"));
    check_headers(&asked);
}

#[test]
fn the_page_is_at_every_path_of_a_view() {
    let app = TestApp::start();
    let page = files()["index.html"].clone();
    let below = ["", "/", "/x", "/x/", "/x/y", "/%C3%A4%20b/a%2Fb", "/%FF", "/..%2f/", "?a=/b#c"];
    for view in VIEWS {
        for rest in below {
            let path = format!("/{view}{rest}");
            let reply = app.anonymous().get(&path);
            assert_eq!(reply.status, 200, "{path}");
            assert_eq!(reply.text(), page, "{path}");
            check_headers(&reply);
        }
    }
    let head = app.anonymous().head("/secrets/production/API_KEY");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn a_client_that_has_a_file_gets_not_modified() {
    let app = TestApp::start();
    let paths: Vec<_> = files().keys().map(|name| path_of(name)).collect();
    for path in paths.iter().map(String::as_str).chain(["/secrets/production"]) {
        let tag = app.anonymous().get(path).header("etag").unwrap().to_owned();
        let with = |value: &str| app.anonymous().with("If-None-Match", value).get(path);
        for known in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}")] {
            let reply = with(&known);
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{path} {known}");
            assert_eq!(reply.header("etag"), Some(tag.as_str()));
            check_headers(&reply);
        }
        for unknown in ["\"other\"", "", "*"] {
            assert_eq!(with(unknown).status, 200, "{path} {unknown:?}");
        }
    }
    let tags: std::collections::BTreeSet<_> = ["/", "/console/app.css", "/console/app.js"]
        .map(|path| app.anonymous().get(path).header("etag").unwrap().to_owned())
        .into();
    assert_eq!(tags.len(), 3);
}

#[test]
fn other_methods_are_405() {
    let app = TestApp::start();
    for path in ["/", "/secrets", "/secrets/a/b", "/console/app.js"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let reply = app.anonymous().send(method, path, None);
            reply.expect_error(405, "METHOD_NOT_ALLOWED");
            assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
}

#[test]
fn every_other_path_is_404_as_json() {
    let app = TestApp::start();
    let paths = [
        "/nope",
        "/secretsx",
        "/xsecrets",
        "/Secrets",
        "/secrets/a/b/c",
        "/secrets/a/b/c/d",
        "//",
        "//secrets",
        "/index.html",
        "/console",
        "/console/",
        "/console/nope.js",
        "/console/index.html",
        "/console/app.js/",
        "/console/App.js",
        "/console/../Cargo.toml",
        "/console/%2e%2e/Cargo.toml",
        "/console/..%2fCargo.toml",
        "/secrets/../Cargo.toml/x",
        "/api/nope",
        "/api/console/app.js",
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            let reply = app.anonymous().send(method, path, None);
            assert_eq!(reply.status, 404, "{method} {path}");
            reply.expect_error(404, "NOT_FOUND");
        }
    }
}

/// The response used to be JSON on a white page; the browser tests found it.
#[test]
fn a_person_who_asks_for_a_page_that_is_not_there_gets_the_console() {
    let app = TestApp::start();
    let page = files()["index.html"].clone();
    let browser = app.anonymous().with("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for path in ["/no/such/page", "/secrets/a/b/c", "/Secrets", "/index.html"] {
        let reply = browser.get(path);
        assert_eq!((reply.status, reply.text()), (404, page.clone()), "{path}");
        check_headers(&reply);
    }
    for path in ["/api", "/api/nope", "/api/secrets/a/b", "/console/nope.js"] {
        browser.get(path).expect_error(404, "NOT_FOUND");
    }
    browser.send("POST", "/no/such/page", None).expect_error(404, "NOT_FOUND");
    app.anonymous().with("Accept", "*/*").get("/no/such/page").expect_error(404, "NOT_FOUND");
}

#[test]
fn no_file_counts_against_a_limit() {
    let mut setup = Setup::default();
    setup.config.rate_limit.anonymous_per_minute = 1;
    setup.config.rate_limit.authenticated_per_minute = 1;
    let app = TestApp::start_with(setup);
    for client in [app.anonymous(), app.admin()] {
        for _ in 0..3 {
            for name in files().keys() {
                assert_eq!(client.get(&path_of(name)).status, 200, "{name}");
            }
            assert_eq!(client.get("/status").status, 200);
        }
    }
    app.anonymous().get("/api/environments").expect_error(401, "UNAUTHORIZED");
    app.anonymous().get("/api/environments").expect_error(429, "RATE_LIMITED");
    assert_eq!(app.anonymous().get("/").status, 200);
}

#[test]
fn it_is_no_part_of_the_api() {
    let paths: Vec<_> = coffer::http::routes().into_iter().map(|route| route.path).collect();
    let document = TestApp::start().anonymous().get("/openapi.json").expect(200);
    for path in ["/", "/console/app.js", "/login", "/secrets"] {
        assert!(!paths.contains(&path), "{path}");
        assert!(document["paths"].get(path).is_none(), "{path}");
    }
}

#[test]
fn it_stays_small() {
    let sum: usize = files().values().map(String::len).sum();
    assert!(sum <= MOST_BYTES, "the console has {sum} bytes, the limit is {MOST_BYTES}");
}

/// Returns the quoted texts that follow each occurrence of `before`.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let rest = text.match_indices(before).map(|(at, found)| &text[at + found.len()..]);
    rest.filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
        rest[1..].split_once(quote).map(|(inside, _)| inside)
    })
    .collect()
}

/// Returns the attribute names of all elements, in lower case.
fn attributes(page: &str) -> Vec<String> {
    let tags = page.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    let words = tags.flat_map(|(tag, _)| tag.split_whitespace().skip(1));
    words.map(|word| word.split('=').next().unwrap().to_lowercase()).collect()
}

/// The browser would block these because of the policy; this test fails earlier.
#[test]
fn the_page_holds_no_script_and_no_style() {
    let page = files()["index.html"].clone();
    for (opening, closing) in [("<script", "</script>"), ("<style", "</style>")] {
        for rest in page.split(opening).skip(1) {
            let (_, rest) = rest.split_once('>').unwrap();
            let (body, _) = rest.split_once(closing).unwrap();
            assert!(body.trim().is_empty(), "{opening} holds {body}");
        }
    }
    assert!(!page.contains("<style"));
    for attribute in attributes(&page) {
        let runs = attribute.starts_with("on") || ["style", "srcdoc"].contains(&attribute.as_str());
        assert!(!runs, "the attribute {attribute} can run code or set a style");
    }
}

/// Paths must be absolute, because the same page is served at paths of different depths.
#[test]
fn what_the_page_and_the_modules_name_is_there() {
    let files = files();
    let page = &files["index.html"];
    assert!(page.starts_with("<!doctype html>"));
    let named = [quoted(page, "src="), quoted(page, "href=")].concat();
    assert!(named.contains(&"/console/app.js") && named.contains(&"/console/app.css"));
    for path in named.into_iter().filter(|path| *path != "/api/docs") {
        let name = path.strip_prefix("/console/").unwrap_or_else(|| panic!("{path}"));
        assert!(files.contains_key(name), "{path}");
    }
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".js")) {
        // Only statements count; the words also occur in texts for users.
        let begins = |line: &&str| ["import", "export", "}"].iter().any(|b| line.starts_with(b));
        let lines = text.lines().filter(begins);
        let fixed = lines.flat_map(|line| [quoted(line, " from "), quoted(line, "import ")]);
        for path in fixed.chain([quoted(text, "import(")]).flatten() {
            let module = path.strip_prefix("./").unwrap_or_else(|| panic!("{path} in {name}"));
            assert!(files.contains_key(module), "{path} in {name}");
        }
    }
}

#[test]
fn no_file_names_another_host() {
    for (name, text) in files() {
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for scheme in ["http:", "https:", "ws://", "wss://", "\"//", "'//", "`//", "(//", "=//"] {
            assert!(!text.contains(scheme), "{scheme} in {name}");
        }
    }
}

/// Modules must not turn text into markup or scripts, nor store what was shown longer than the page
/// lives.
#[test]
fn no_module_makes_markup_or_scripts_out_of_text() {
    let sinks = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "setHTMLUnsafe",
        "createContextualFragment",
        "document.write",
        "srcdoc",
        "eval(",
        "new Function",
        "javascript:",
    ];
    for (name, text) in files().iter().filter(|(name, _)| name.ends_with(".js")) {
        for sink in sinks {
            assert!(!text.contains(sink), "{sink} in {name}");
        }
        // Only two things may outlive the page: the name of the last environment, and whether
        // single-key shortcuts are on. A value or a token must not.
        let kept = text.matches("localStorage").count();
        let known = ["getItem(LAST)", "setItem(LAST,", "getItem(KEYS)", "setItem(KEYS,"]
            .map(|one| text.matches(&format!("localStorage.{one}")).count());
        assert_eq!(kept, known.iter().sum::<usize>(), "localStorage in {name}");
        for other in ["sessionStorage", "indexedDB", "document.cookie"] {
            assert!(!text.contains(other), "{other} in {name}");
        }
    }
}
