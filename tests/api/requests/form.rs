//! The form of a request: the size and type of its body, which methods a path accepts, and which
//! paths exist. What holds for every response is in `conventions.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use coffer::domain::Role;
use serde_json::json;
use support::api::{make_secret, make_var};
use support::paths::{SECRETS, SETTINGS, VARS};
use support::{Client, Reply, TestApp};

const JSON_ANSWER: &str = "application/json; charset=utf-8";
const BODY_LIMIT: usize = 1 << 20;

/// A body of exactly this many bytes that creates a secret.
fn padded(key: &str, length: usize) -> Vec<u8> {
    let head = format!("{{\"key\":\"{key}\",\"value\":\"v\",\"padding\":\"");
    let mut body = head.into_bytes();
    body.resize(length - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

/// A POST whose body arrives in chunks of 64 KiB, without a length.
fn chunked(app: &TestApp, token: Option<&str>, content_type: &str, body: &[u8]) -> Reply {
    let authorization =
        token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let mut bytes = format!(
        "POST {SECRETS} HTTP/1.1\r\nHost: coffer\r\n{authorization}Content-Type: {content_type}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(64 << 10) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    app.anonymous().raw("POST", &bytes)
}

#[test]
fn a_body_may_have_1_mib_and_not_a_byte_more() {
    let app = TestApp::start();
    let admin = app.admin();
    let token = Some(app.admin_token());
    let post = |client: &Client, body: &[u8]| {
        client.send("POST", SECRETS, Some(("application/json", body)))
    };
    assert_eq!(padded("A", BODY_LIMIT).len(), BODY_LIMIT);
    post(&admin, &padded("A", BODY_LIMIT)).expect(200);
    chunked(&app, token, "application/json", &padded("B", BODY_LIMIT)).expect(200);
    post(&admin, &padded("C", BODY_LIMIT + 1)).expect_error(413, "PAYLOAD_TOO_LARGE");
    let over = chunked(&app, token, "application/json", &padded("D", BODY_LIMIT + 1));
    over.expect_error(413, "PAYLOAD_TOO_LARGE");
    let far_over = chunked(&app, token, "application/json", &padded("E", 4 * BODY_LIMIT));
    far_over.expect_error(413, "PAYLOAD_TOO_LARGE");
    let keys: Vec<_> = admin.get(SECRETS).expect(200)["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].clone())
        .collect();
    assert_eq!(keys, ["A", "B"]);
}

#[test]
fn a_body_that_is_declared_too_large_is_refused_before_it_arrives() {
    let app = TestApp::start();
    for token in ["", &format!("Authorization: Bearer {}\r\n", app.admin_token())] {
        // No byte of the body is ever sent.
        let head = format!(
            "POST {SECRETS} HTTP/1.1\r\nHost: coffer\r\n{token}Content-Type: application/json\r\n\
             Content-Length: 1099511627776\r\nConnection: close\r\n\r\n"
        );
        let reply = app.anonymous().raw("POST", head.as_bytes());
        reply.expect_error(413, "PAYLOAD_TOO_LARGE");
    }
}

#[test]
fn content_encodings_are_refused() {
    let app = TestApp::start();
    let body = json!({ "key": "A", "value": "v" });
    for encoding in
        ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip", "identity, gzip", "nonsense"]
    {
        for client in [app.admin(), app.anonymous()] {
            let client = client.with("Content-Encoding", encoding);
            client.post(SECRETS, &body).expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
}

#[test]
fn a_body_is_taken_as_json_and_as_nothing_else() {
    let app = TestApp::start();
    let admin = app.admin();
    let good = [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON ; Charset=\"utf-8\"",
    ];
    for (index, content_type) in good.into_iter().enumerate() {
        let body = json!({ "key": format!("K{index}"), "value": "v" }).to_string();
        admin.send("POST", SECRETS, Some((content_type, body.as_bytes()))).expect(200);
    }
    let bad = [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "*/*",
        "json",
        "text/plain; application/json",
    ];
    let body = json!({ "key": "NO", "value": "v" }).to_string();
    for content_type in bad {
        for client in [&admin, &app.anonymous()] {
            let reply = client.send("POST", SECRETS, Some((content_type, body.as_bytes())));
            reply.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    let listed = admin.get(SECRETS).expect(200);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), good.len());
}

#[test]
fn an_empty_body_with_a_json_type_counts_as_absent() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = format!("/api/secrets/{}", make_secret(&admin, "A"));
    let var = format!("/api/vars/{}", make_var(&admin, "A"));
    admin.post("/api/environments", &json!({ "name": "staging" })).expect(200);
    for content_type in ["application/json", "application/json; charset=utf-8"] {
        let empty = Some((content_type, &b""[..]));
        admin.send("GET", &secret, empty).expect(200);
        admin.send("POST", &format!("{SETTINGS}/reset"), empty).expect(200);
        admin.send("POST", &format!("{secret}/versions/1/activate"), empty).expect(200);
        admin.send("POST", SECRETS, empty).expect_error(400, "VALIDATION_ERROR");
    }
    // Many clients send a type without a length on a DELETE.
    let typed = admin.with("Content-Type", "application/json");
    let gone = json!({ "success": true });
    assert_eq!(admin.send("DELETE", &secret, Some(("application/json", b""))).expect(200), gone);
    assert_eq!(typed.delete(&var).expect(200), gone);
    assert_eq!(typed.delete("/api/environments/staging").expect(200), gone);
}

/// Everything that arrives on a connection until the server closes it.
fn to_the_end(app: &TestApp, request: &str) -> String {
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

#[test]
fn head_answers_as_get_without_a_body() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = format!("/api/secrets/{}", make_secret(&admin, "A"));
    let var = format!("/api/vars/{}", make_var(&admin, "A"));
    let versions = format!("{secret}/versions");
    let paths = [
        "/api/environments",
        "/api/environments/development",
        SETTINGS,
        SECRETS,
        VARS,
        &secret,
        &var,
        &versions,
        "/api/secrets/none",
        "/api/nowhere",
        "/health",
        "/openapi.json",
        "/api/docs",
        "/api/auth/registration",
    ];
    for client in [&admin, &app.anonymous()] {
        for path in paths {
            let (get, head) = (client.get(path), client.head(path));
            assert_eq!(head.status, get.status, "{path}");
            for name in
                ["content-type", "content-length", "cache-control", "www-authenticate", "allow"]
            {
                assert_eq!(head.header(name), get.header(name), "{name} of {path}");
            }
        }
    }
    let token = app.admin_token();
    let head = |path: &str| {
        format!(
            "HEAD {path} HTTP/1.1\r\nHost: coffer\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
    };
    for path in [secret.as_str(), "/api/secrets/none", "/api/nowhere"] {
        let all = to_the_end(&app, &head(path));
        assert!(all.starts_with("HTTP/1.1 ") && all.ends_with("\r\n\r\n"), "{all}");
        assert_eq!(all.matches("\r\n\r\n").count(), 1, "{all}");
    }
}

#[test]
fn head_on_a_secrets_value_is_405_for_everybody() {
    let app = TestApp::start();
    let path = format!("/api/secrets/{}/value", make_secret(&app.admin(), "A"));
    for client in [app.admin(), app.principal(Role::Viewer), app.anonymous()] {
        for path in [path.as_str(), "/api/secrets/none/value"] {
            let reply = client.head(path);
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET")));
        }
    }
}

#[test]
fn a_wrong_method_is_405_and_allow_names_the_right_ones() {
    let app = TestApp::start();
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let routes = coffer::http::routes();
    for route in &routes {
        let methods = allowed.entry(route.path).or_default();
        methods.insert(route.method.as_str());
        let without_head = [
            "/api/secrets/{id}/value",
            "/api/admin/backup",
            "/api/environments/{environment}/bundle",
        ];
        if route.method == "GET" && !without_head.contains(&route.path) {
            methods.insert("HEAD");
        }
    }
    for (path, right) in &allowed {
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"]
        {
            if right.contains(method) {
                continue;
            }
            for client in [app.admin(), app.anonymous()] {
                let reply = client.send(method, path, None);
                assert_eq!(reply.status, 405, "{method} {path}");
                let allow: BTreeSet<_> = reply.header("allow").unwrap().split(", ").collect();
                assert_eq!(&allow, right, "{method} {path}");
                if method != "HEAD" {
                    reply.expect_error(405, "METHOD_NOT_ALLOWED");
                }
            }
        }
    }
}

#[test]
fn an_unknown_path_under_api_is_404_as_json() {
    let app = TestApp::start();
    let paths = [
        "/api",
        "/api/",
        "/api/nowhere",
        "/api/secrets",
        "/api/secrets/",
        "/api/secrets//value",
        "/api/secrets/x/y",
        "/api/environments/",
        "/api/environments/development/",
        "/api/environments/development/secrets/",
        "/api//environments",
        "/api/../api/environments",
        "/api/Environments",
        "/api/%2e%2e/health",
        "/api/%F0%9F%94%91",
    ];
    for client in [app.admin(), app.anonymous()] {
        for path in paths {
            for method in ["GET", "POST", "DELETE", "BREW"] {
                let reply = client.send(method, path, None);
                assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
                reply.expect_error(404, "NOT_FOUND");
                assert_eq!(reply.header("content-type"), Some(JSON_ANSWER));
            }
        }
    }
}

#[test]
fn everything_is_under_api_but_for_the_few_paths_that_are_not() {
    let outside: Vec<_> = coffer::http::routes()
        .into_iter()
        .map(|route| route.path)
        .filter(|path| !path.starts_with("/api/"))
        .collect();
    for path in &outside {
        assert!(["/health", "/openapi.json", "/metrics", "/"].contains(path), "{path}");
    }
    let app = TestApp::start();
    for path in ["/health", "/openapi.json"] {
        assert!(outside.contains(&path));
        let reply = app.anonymous().get(path);
        reply.expect(200);
        assert_eq!(reply.header("content-type"), Some(JSON_ANSWER));
    }
}
