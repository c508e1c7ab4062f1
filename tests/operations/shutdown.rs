//! Shutdown of the real binary: it completes requests in progress and exits with 0, and an idle
//! client does not delay it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::paths::SECRETS;
use support::process::{Connection, Launch, Server, request, strace};
use support::skip;
use tempfile::TempDir;

/// Less than the server's own timeouts: 10 seconds for the rest of a request head, 30 for requests
/// in progress at a stop.
const PROMPT: Duration = Duration::from_secs(9);

fn start() -> (TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    (dir, server)
}

/// Waits until the server has logged the signal.
fn noticed(server: &Server, name: &str) {
    let line = server.running.stderr.wait_for(|line| line.contains(name));
    line.unwrap_or_else(|| panic!("{name} was not logged"));
}

/// Fails unless this secret exists after a restart.
#[track_caller]
fn kept(data_dir: &Path, key: &str) {
    let again = Launch::on(data_dir).start();
    let body = again.admin().get(SECRETS).expect(200);
    let keys: Vec<_> = body["secrets"].as_array().unwrap().iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, [key]);
    again.stop();
}

#[test]
fn either_signal_ends_an_idle_server_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_dir, server) = start();
        let began = Instant::now();
        server.end_by(signal);
        assert!(began.elapsed() < PROMPT, "{:?} to stop an idle server", began.elapsed());
    }
}

#[test]
fn a_request_in_the_middle_of_its_body_is_answered() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (_dir, server) = start();
        let text =
            request(&server.token(), "half", "POST", SECRETS, r#"{"key":"HALF","value":"whole"}"#);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut connection = Connection::open(server.address).unwrap();
        // The server asks for the body, so the request is in progress.
        connection.send(&format!("{head}\r\nExpect: 100-continue\r\n\r\n")).unwrap();
        assert_eq!(connection.line().unwrap(), "HTTP/1.1 100 Continue");
        assert_eq!(connection.line().unwrap(), "");
        let (first, second) = body.split_at(9);
        connection.send(first).unwrap();
        server.running.signal(signal);
        noticed(&server, name);
        connection.send(second).unwrap();
        connection.answer().expect("the request is answered").expect(200);
        let (data_dir, address) = (server.data_dir, server.address);
        let ended = server.running.wait();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(Connection::open(address).is_err(), "the address still accepts connections");
        kept(&data_dir, "HALF");
    }
}

#[test]
fn a_request_that_waits_for_its_write_is_answered() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(reason) => return skip(reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"));
    let slow = "inject=fdatasync:delay_enter=700000";
    let strace::Traced { server, trace } = strace::start(&launch, &words, &["-e", slow]);
    let text =
        request(&server.token(), "waiting", "POST", SECRETS, r#"{"key":"WAITS","value":"v"}"#);
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&text).unwrap();
    let written = |line: &str| line.contains("pwrite64(") && line.contains("waiting");
    trace.wait_for(written).expect("the row is being written");
    server.running.signal(Signal::TERM);
    noticed(&server, "SIGTERM");
    connection.answer().expect("the request is answered").expect(200);
    let ended = server.running.wait();
    assert_eq!(ended.code, Some(0), "{ended:#?}");

    // Fails unless the answer came after the signal; otherwise this test proves nothing.
    let trace = trace.all();
    let line = |what: &str| trace.lines().position(|line| line.contains(what));
    let calls = strace::calls(&trace);
    let answer =
        calls.iter().find(|call| call.answers("waiting")).expect("the answer is in the trace");
    assert!(line("--- SIGTERM").expect("the signal is in the trace") < answer.began);
}

#[test]
fn an_idle_connection_does_not_hold_the_exit() {
    let (_dir, server) = start();
    let get = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut used = Connection::open(server.address).unwrap();
    used.send(get).unwrap();
    used.answer().unwrap().expect(200);
    let _silent = Connection::open(server.address).unwrap();
    let mut half = Connection::open(server.address).unwrap();
    half.send("GET /health HTTP/1.1\r\nHo").unwrap();
    // A later connection gets an answer, so the server has accepted all of these.
    server.admin().get("/health").expect(200);
    let began = Instant::now();
    server.stop();
    let took = began.elapsed();
    println!("three idle connections: {took:?}");
    assert!(took < PROMPT, "idle connections held the exit for {took:?}");
}

#[test]
fn a_used_connection_alone_does_not_hold_the_exit() {
    let (_dir, server) = start();
    let mut used = Connection::open(server.address).unwrap();
    used.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    used.answer().unwrap().expect(200);
    let began = Instant::now();
    server.stop();
    let took = began.elapsed();
    println!("an idle connection: {took:?}");
    assert!(took < PROMPT, "an idle connection held the exit for {took:?}");
}

#[test]
fn start_and_stop_are_in_the_audit_log() {
    let (dir, server) = start();
    server.stop();
    let words: Vec<_> =
        support::audit_rows(dir.path()).iter().map(|row| row.draft.action.as_str()).collect();
    assert_eq!(words, ["server.initialize", "server.start", "server.stop"]);
}

/// Ctrl-C may come before the server is ready.
#[test]
fn a_signal_during_the_start_ends_it_well() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(reason) => return skip(reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"));
    let slow = "inject=fdatasync:delay_enter=300000";
    let (running, trace) = strace::spawn(&launch, &words, &["-e", slow]);
    trace.wait_for(|line| line.contains("fdatasync(")).expect("the first rows are being written");
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let server = launch.start();
    server.admin().get(SECRETS).expect(200);
    server.stop();
}
