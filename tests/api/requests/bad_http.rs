//! Requests that are barely HTTP, or not HTTP at all. The server may answer with a 4xx status or
//! close the connection. It must not answer with a 5xx status, echo anything, accept half a request
//! as a whole one, or crash.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;
use support::paths::SECRETS;
use support::{Setup, TestApp, expect_log};

const MARK: &str = "mArKeR7f3a";

fn start() -> TestApp {
    // What the HTTP library logs about requests that it cannot read.
    expect_log("actix_http");
    let mut setup = Setup::default();
    setup.config.rate_limit.anonymous_per_minute = 0;
    TestApp::start_with(setup)
}

/// Sends these bytes and nothing more; returns everything that arrives until the server closes the
/// connection. A reset also counts as closing.
fn exchange(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    // The server may stop reading before it has everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            Err(error) => {
                let kind = error.kind();
                assert_ne!(
                    kind,
                    std::io::ErrorKind::WouldBlock,
                    "the server neither answers nor closes the connection"
                );
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Fails unless every response is a 4xx (or absent) without the mark, and the server is still
/// running.
#[track_caller]
fn refused(app: &TestApp, bytes: &[u8]) -> String {
    let answer = exchange(app, bytes);
    let what = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..3));
    assert!(answer.is_empty() || status == Some("4"), "{what:?}: {answer}");
    assert!(!answer.to_lowercase().contains(&MARK.to_lowercase()), "{what:?}: {answer}");
    app.anonymous().get("/health").expect(200);
    answer
}

fn post(app: &TestApp, headers: &str, body: &str) -> Vec<u8> {
    let token = app.admin_token();
    format!(
        "POST {SECRETS} HTTP/1.1\r\nHost: coffer\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

#[track_caller]
fn no_secrets(app: &TestApp) {
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
}

#[test]
fn request_lines_that_are_none_are_survived() {
    let app = start();
    let lines = [
        "\0\0\0\0",
        "#",
        "GET",
        "GET #",
        "GET /# HTTP/9.9",
        "GET /# HTTP/1.1.1",
        "GET /# http/1.1",
        "GET /# FTP/1.1",
        "# # #",
        "GET /# /# HTTP/1.1",
        "GET # HTTP/1.1",
        "GET /<#> HTTP/1.1",
        "GET /\0# HTTP/1.1",
        "GET /#\u{1} HTTP/1.1",
        "G\0T /# HTTP/1.1",
        "G{T /# HTTP/1.1",
        "PRI * HTTP/2.0",
        "\u{1F511} /# HTTP/1.1",
        "GET /api/secrets/# HTTP/1.1\r\n: #",
        "GET /api/secrets/# HTTP/1.1\r\n#",
        "GET /api/secrets/# HTTP/1.1\r\nA b: #",
        "GET /api/secrets/# HTTP/1.1\r\nA\0: #",
        "GET /api/secrets/# HTTP/1.1\r\nA: \0#",
        "GET /api/secrets/# HTTP/1.1\r\nA: 1\r\n folded #",
        "CONNECT #:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1\r\nA: #",
    ];
    for line in lines {
        let request = format!("{}\r\nConnection: close\r\n\r\n", line.replace('#', MARK));
        refused(&app, request.as_bytes());
    }
    for bytes in [
        &b""[..],
        b"\r\n",
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03mArKeR7f3a",
        b"GET /mArKeR7f3a",
        b"\xFF\xFE\xFD",
    ] {
        refused(&app, bytes);
    }
}

#[test]
fn a_path_that_is_no_uri_is_refused_without_an_echo() {
    let app = start();
    let token = app.admin_token();
    for path in [
        "\u{e4}",
        "\u{1F511}",
        "\"",
        "{",
        "|",
        "^",
        "`",
        "\\",
        "%",
        "%z",
        "%%%",
        "#",
        "[",
        "@",
        "//",
        ":",
    ] {
        let request = format!(
            "GET /api/secrets/{MARK}{path} HTTP/1.1\r\nHost: coffer\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = refused(&app, request.as_bytes());
        assert!(!answer.is_empty(), "{path}");
    }
}

#[test]
fn urls_of_any_length_are_survived() {
    let app = start();
    for length in [30_000, 65_000, 66_000, 200_000, 2_000_000] {
        let long = format!("{MARK}{}", "a".repeat(length));
        for path in [
            format!("/api/secrets/{long}"),
            format!("{SECRETS}?limit={long}"),
            format!("/{}", "a/".repeat(length / 2)),
        ] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: coffer\r\nConnection: close\r\n\r\n");
            refused(&app, request.as_bytes());
        }
    }
}

#[test]
fn headers_of_any_size_and_number_are_survived() {
    let app = start();
    let get = |headers: &str| {
        format!("GET {SECRETS} HTTP/1.1\r\nHost: coffer\r\n{headers}Connection: close\r\n\r\n")
            .into_bytes()
    };
    refused(&app, &get(&format!("A: {MARK}{}\r\n", "x".repeat(10 << 20))));
    refused(&app, &get(&format!("A: {MARK}\r\n").repeat(600_000)));
    refused(&app, &get(&format!("{MARK}{}: x\r\n", "x".repeat(1 << 20))));
    refused(&app, &get(&format!("Authorization: Bearer cof_{MARK}{}\r\n", "x".repeat(1 << 20))));
    refused(&app, &get(&format!("X-Request-Id: {MARK}{}\r\n", "x".repeat(1 << 20))));
    refused(&app, &get(&format!("Cookie: {MARK}{}\r\n", "x".repeat(50_000))));
}

#[test]
fn an_invalid_content_length_is_refused() {
    let app = start();
    let body = json!({ "key": "A", "value": MARK }).to_string();
    let length = body.len();
    let odd = [
        "-1".to_owned(),
        "+5".to_owned(),
        format!("+{length}"),
        "x".to_owned(),
        String::new(),
        format!("0x{length:x}"),
        "1e2".to_owned(),
        format!("{length}.0"),
        format!("{length}, {length}"),
        format!("{length} {length}"),
        "99999999999999999999999999".to_owned(),
        "18446744073709551616".to_owned(),
        "18446744073709551615".to_owned(),
        "9223372036854775808".to_owned(),
        format!("{length}\r\nContent-Length: 5"),
        format!("5\r\nContent-Length: {length}"),
    ];
    for value in odd {
        refused(
            &app,
            &post(&app, &format!("Content-Length: {value}\r\nConnection: close\r\n"), &body),
        );
        no_secrets(&app);
    }
}

#[test]
fn a_body_that_ends_too_early_creates_nothing() {
    let app = start();
    let body = json!({ "key": "A", "value": MARK }).to_string();
    // The part that arrived is valid by itself; that must not make it a request.
    for missing in [1, 10, 1000] {
        let headers = format!("Content-Length: {}\r\nConnection: close\r\n", body.len() + missing);
        refused(&app, &post(&app, &headers, &body));
    }
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    for sent in
        [&chunk[..], &chunk[..chunk.len() - 2], &format!("{chunk}5\r\nab"), &format!("{chunk}0")]
    {
        refused(&app, &post(&app, "Transfer-Encoding: chunked\r\nConnection: close\r\n", sent));
    }
    no_secrets(&app);
}

#[test]
fn a_bad_chunked_encoding_is_refused_and_creates_nothing() {
    let app = start();
    let body = json!({ "key": "A", "value": MARK }).to_string();
    let length = body.len();
    let bodies = [
        format!("ZZ\r\n{body}\r\n0\r\n\r\n"),
        format!("-{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("FFFFFFFFFFFFFFFFF\r\n{body}\r\n0\r\n\r\n"),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 1),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", length + 5),
        format!("{length:x}{body}\r\n0\r\n\r\n"),
        format!("\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        body.clone(),
        format!("{length:x};{}\r\n{body}\r\n", "x".repeat(200_000)),
    ];
    for body in bodies {
        refused(&app, &post(&app, "Transfer-Encoding: chunked\r\nConnection: close\r\n", &body));
    }
    no_secrets(&app);
    for encoding in
        ["gzip", "chunked, gzip", "xchunked", "gzip, chunked", "chunked\r\nTransfer-Encoding: x"]
    {
        let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        refused(
            &app,
            &post(
                &app,
                &format!("Transfer-Encoding: {encoding}\r\nConnection: close\r\n"),
                &chunked,
            ),
        );
    }
    no_secrets(&app);
}

#[test]
fn a_request_cannot_be_hidden_in_another_ones_body() {
    let app = start();
    let token = app.admin_token();
    let hidden = format!(
        "POST /api/environments HTTP/1.1\r\nHost: coffer\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{{\"name\":\"hidden\"}}"
    );
    let chunked = format!("0\r\n\r\n{hidden}");
    let length = chunked.len();
    for headers in [
        // A proxy in front of the server may use one of them, and the server the other.
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\n"),
    ] {
        let answer = exchange(&app, &post(&app, &headers, &chunked));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        app.admin().get("/api/environments/hidden").expect_error(404, "NOT_FOUND");
    }
    // The server must not parse a refused body as the next request.
    let big = format!("{hidden}{}", " ".repeat(2 << 20));
    let headers = format!("Content-Length: {}\r\n", big.len());
    let answer = exchange(&app, &post(&app, &headers, &big));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    app.admin().get("/api/environments/hidden").expect_error(404, "NOT_FOUND");
}
