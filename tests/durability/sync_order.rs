//! Proves durability: which data the real binary has written and synced by the time it answers,
//! according to the order of its system calls.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::paths::SECRETS;
use support::process::strace::{self, Call, Traced};
use support::process::{Connection, Launch, request};
use support::{Client, api, await_release, rows_fit, skip};
use tempfile::TempDir;

const CLIENTS: usize = 4;

fn place() -> (TempDir, Launch) {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"));
    (dir, launch)
}

/// Evaluates to the strace command, or skips the test.
macro_rules! strace_or_skip {
    () => {
        match strace::words() {
            Ok(words) => words,
            Err(reason) => return skip(reason),
        }
    };
}

/// The file that holds every row.
fn log(launch_dir: &TempDir) -> PathBuf {
    launch_dir.path().join("data/db/db")
}

fn create(client: &Client, key: &str, value: &str) -> String {
    let body = client.post(SECRETS, &json!({ "key": key, "value": value })).expect(200);
    body["secret"]["id"].as_str().unwrap().to_owned()
}

/// Sends requests whose IDs can be found in the trace.
struct Marked {
    admin: Client,
    ids: Vec<String>,
}

impl Marked {
    fn next(&mut self, what: &str) -> Client {
        self.ids.push(format!("{what}-{:04}", self.ids.len()));
        self.admin.with("X-Request-Id", self.ids.last().unwrap())
    }
}

/// Sends one write of every kind after the other.
fn one_at_a_time(marked: &mut Marked) {
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(create(&marked.next("create"), &format!("KEY_{number}"), "value"));
    }
    for id in &ids {
        let body = json!({ "value": "another" });
        marked.next("patch").patch(&format!("/api/secrets/{id}"), &body).expect(200);
    }
    for id in &ids {
        let body = marked.next("reveal").get(&format!("/api/secrets/{id}/value")).expect(200);
        assert_eq!(body["value"], "another");
    }
    for id in &ids[..3] {
        marked.next("activate").post(&format!("/api/secrets/{id}/versions/1/activate"), &json!({}));
        marked.next("delete").delete(&format!("/api/secrets/{id}")).expect(200);
    }
    let body = json!({ "name": "staging" });
    marked.next("environment").post("/api/environments", &body).expect(200);
    let body = json!({ "allowSecretReveal": false });
    let path = "/api/environments/staging/settings/configuration";
    marked.next("settings").patch(path, &body).expect(200);
    let path = "/api/environments/staging/vars";
    marked.next("var").post(path, &json!({ "key": "A", "value": "b" })).expect(200);
    marked.next("force").delete("/api/environments/staging?force=true").expect(200);
}

#[test]
fn each_write_is_on_the_disk_before_it_is_answered() {
    let words = strace_or_skip!();
    let (dir, launch) = place();
    let traced = strace::start(&launch, &words, &[]);
    let mut marked = Marked { admin: traced.server.admin(), ids: Vec::new() };
    one_at_a_time(&mut marked);
    let (_, calls) = traced.stop();
    assert!(marked.ids.len() >= 20);
    for id in &marked.ids {
        is_durable_first(&calls, &log(&dir), id);
    }
}

/// Fails unless the calls occur in this order: request, write of its row (found by the request ID)
/// to the file, a sync that began after that write and succeeded, answer.
#[track_caller]
fn is_durable_first(calls: &[Call], log: &Path, id: &str) {
    let one = |what: &str, is: &dyn Fn(&&Call) -> bool| {
        let found = calls.iter().find(is);
        found.cloned().unwrap_or_else(|| panic!("no {what} of {id} in the trace"))
    };
    let arrived = one("arrival", &|call| call.receives(id));
    let written = one("row", &|call| call.writes(log, id) && call.succeeded());
    let answered = one("answer", &|call| call.answers(id));
    assert!(arrived.ended < Some(written.began), "{id}: {arrived:?} {written:?}");
    let synced = calls.iter().any(|call| {
        call.syncs(log)
            && call.succeeded()
            && Some(call.began) > written.ended
            && call.ended < Some(answered.began)
    });
    assert!(synced, "{id} was answered before its row was synced:\n{written:#?}\n{answered:#?}");
}

#[test]
fn reads_cause_no_sync() {
    let words = strace_or_skip!();
    let (_dir, launch) = place();
    let traced = strace::start(&launch, &words, &[]);
    let admin = traced.server.admin();
    let id = create(&admin, "READ", "value");
    let client = |id: &str| admin.with("X-Request-Id", id);
    client("first-read").get("/health").expect(200);
    for path in reads(&id) {
        admin.get(&path).expect(200);
    }
    client("last-read").get("/health").expect(200);
    let (_, calls) = traced.stop();
    let first = calls
        .iter()
        .position(|call| call.answers("first-read"))
        .expect("the first read is in the trace");
    let last = calls
        .iter()
        .position(|call| call.receives("last-read"))
        .expect("the last read is in the trace");
    assert!(last > first + reads(&id).len());
    let synced = |call: &&Call| call.name.contains("sync");
    let odd: Vec<_> = calls[first..last].iter().filter(synced).collect();
    assert!(odd.is_empty(), "reads caused writes: {odd:#?}");
}

/// Paths of all plain reads.
fn reads(secret: &str) -> Vec<String> {
    [
        "/api/environments",
        "/api/environments/development",
        "/api/environments/development/secrets",
        "/api/environments/development/secrets?limit=2",
        "/api/environments/development/vars",
        "/api/environments/development/settings/configuration",
        &format!("/api/secrets/{secret}"),
        &format!("/api/secrets/{secret}/versions"),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn new_directories_and_files_are_synced_into_their_parents() {
    let words = strace_or_skip!();
    let dir = tempfile::tempdir().unwrap();
    // The last directory is the data directory; its parents are created on the way.
    for path in ["data", "one/two/data"] {
        let data_dir = dir.path().join(path);
        std::fs::create_dir_all(dir.path().join("cwd")).unwrap();
        let launch = Launch::bare(&dir.path().join("cwd"));
        let launch =
            launch.arguments(["--listen", "127.0.0.1:0", "--data-dir"]).argument(&data_dir);
        let (_, calls) = strace::start(&launch, &words, &[]).stop();
        let ready = |call: &Call| call.name == "write" && call.text.contains("\"listening on ");
        let ready = calls
            .iter()
            .find(|call| ready(call))
            .expect("the server reports that it listens")
            .began;
        let made = entries_made(&calls, dir.path(), ready);
        assert!(made.len() >= 5, "{made:#?}");
        for (entry, when) in made {
            let parent = entry.parent().unwrap();
            let synced = calls.iter().any(|call| {
                call.syncs(parent)
                    && call.succeeded()
                    && call.began > when
                    && call.ended < Some(ready)
            });
            assert!(synced, "{} could be lost in a power cut", entry.display());
        }
    }
}

/// A file that keeps its name and loses its content can keep a database from opening: sled reads
/// its settings at every start.
#[test]
fn the_text_of_new_files_is_synced() {
    let words = strace_or_skip!();
    let (dir, launch) = place();
    let (_, calls) = strace::start(&launch, &words, &[]).stop();
    let data_dir = dir.path().join("data");
    let is_synced = |path: &Path| calls.iter().any(|call| call.syncs(path));
    for name in ["root.key", "bootstrap-token"] {
        assert!(data_dir.join(name).is_file());
        // The content is synced under the temporary name, which contains the process ID.
        let mut halves = calls.iter().flat_map(|call| call.text.split('"')).filter(|text| {
            text.starts_with(data_dir.join(name).to_str().unwrap()) && text.ends_with(".part")
        });
        assert!(halves.any(|half| is_synced(Path::new(half))), "{name} was never synced");
    }
    assert!(is_synced(&data_dir.join("db/conf")), "db/conf was never synced");
}

/// Returns the paths created or renamed below a directory before a given call, each with its call
/// number.
fn entries_made(calls: &[Call], below: &Path, before: usize) -> Vec<(PathBuf, usize)> {
    let kinds = ["mkdir", "mkdirat", "rename", "renameat", "renameat2"];
    let made = calls.iter().filter(|call| kinds.contains(&&*call.name) && call.succeeded());
    let made = made.filter(|call| call.began < before).map(|call| {
        let entry = call.text.split('"').skip(1).step_by(2).last().unwrap();
        (PathBuf::from(entry), call.ended.unwrap())
    });
    made.filter(|(entry, _)| entry.starts_with(below)).collect()
}

#[test]
fn large_rows_never_go_to_files_that_are_not_synced() {
    let (dir, launch) = place();
    let server =
        launch.clone().variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0").start();
    let admin = server.admin();
    let description = "\u{1f512}".repeat(1000);
    let put = |number: usize| {
        // Half of the keys share a long prefix, the others share none.
        let key = if number.is_multiple_of(2) {
            format!("K{}{number:04}", "E".repeat(251))
        } else {
            format!("A{number:04}{}", "Z".repeat(251))
        };
        assert_eq!(key.len(), 256);
        let bytes = if number.is_multiple_of(8) { 64 << 10 } else { 10 };
        let body =
            json!({ "key": key, "value": "\u{1}".repeat(bytes), "description": description });
        admin.post(SECRETS, &body).expect(200);
        let body = json!({ "key": key, "value": "v".repeat(bytes), "description": description });
        admin.post("/api/environments/development/vars", &body).expect(200);
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let put = &put;
            scope.spawn(move || (thread..320).step_by(8).for_each(put));
        }
    });
    let list = admin.get(SECRETS).expect(200);
    assert_eq!(list["secrets"].as_array().unwrap().len(), 320);
    let blobs = || {
        let entries = std::fs::read_dir(dir.path().join("data/db/blobs")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert!(blobs().is_empty(), "{:?}", blobs());
    server.stop();
    assert!(blobs().is_empty(), "{:?}", blobs());
    let server = launch.start();
    assert!(server.admin().get(SECRETS).expect(200) == list, "the list has changed");
    server.stop();
    assert!(blobs().is_empty(), "{:?}", blobs());
}

#[test]
fn a_snapshot_that_was_not_finished_is_removed() {
    let (dir, launch) = place();
    let server = launch.start();
    let id = create(&server.admin(), "KEPT", "still here");
    server.stop();
    let half = dir.path().join("data/db/snap.00000000000000FF.generating");
    std::fs::write(&half, [0x5a; 4096]).unwrap();
    let server = launch.start();
    assert!(!half.exists());
    let body = server.admin().get(&format!("/api/secrets/{id}/value")).expect(200);
    assert_eq!(body["value"], "still here");
    server.stop();
}

/// The writer hangs in its sync while every kind of read is answered.
#[test]
fn reads_never_wait_for_the_writer() {
    let words = strace_or_skip!();
    let (dir, launch) = place();
    let slow = "inject=fdatasync:delay_enter=1200000";
    let Traced { server, trace } = strace::start(&launch, &words, &["-e", slow]);
    let admin = server.admin();
    let id = create(&admin, "SLOW", "value");

    let text = request(&server.token(), "write", "POST", SECRETS, r#"{"key":"WAITS","value":"v"}"#);
    let mut write = Connection::open(server.address).unwrap();
    write.send(&text).unwrap();
    let written = |line: &str| line.contains("pwrite64(") && line.contains("write\\1");
    trace.wait_for(written).expect("the row is being written");
    for (number, path) in reads(&id).iter().enumerate() {
        admin.with("X-Request-Id", &format!("read-{number}")).get(path).expect(200);
    }
    write.answer().unwrap().expect(200);
    server.stop();

    let calls = strace::calls(&trace.all());
    let moment = |id: &str| {
        let answer = calls.iter().find(|call| call.answers(id));
        answer.unwrap_or_else(|| panic!("no answer to {id} in the trace")).began
    };
    let row = calls
        .iter()
        .find(|call| call.writes(&log(&dir), "write"))
        .expect("the row is in the trace");
    let sync = |call: &&Call| call.syncs(&log(&dir)) && Some(call.began) > row.ended;
    let sync = calls.iter().find(sync).expect("the sync of the row is in the trace");
    for number in 0..reads(&id).len() {
        let read = format!("read-{number}");
        let arrived =
            calls.iter().find(|call| call.receives(&read)).expect("the read is in the trace");
        assert!(arrived.began > row.began, "{read} arrived before the write, so it proves nothing");
        assert!(Some(moment(&read)) < sync.ended, "{read} waited for the writer");
        assert!(moment(&read) < moment("write"), "{read} waited for the write");
    }
}

/// A failed sync may have lost anything. From then on no request succeeds, including those waiting
/// for that sync, and the server exits in a way that a supervisor notices.
#[test]
fn a_failed_sync_is_no_success_and_ends_the_server() {
    let words = strace_or_skip!();
    let (dir, launch) = place();
    let broken = "inject=fdatasync:error=EIO:when=8+";
    let Traced { server, trace } = strace::start(&launch, &words, &["-e", broken]);
    let (token, admin) = (server.token(), server.admin());
    // Parallel clients, so that some requests are in flight when the sync fails, and more follow.
    let answers = api::parallel(CLIENTS, |client| {
        let put = |number: usize| {
            let id = format!("client-{client}-{number:02}");
            let body = json!({ "key": format!("KEY_{client}_{number}"), "value": id });
            let text = request(&token, &id, "POST", SECRETS, &body.to_string());
            admin.try_raw("POST", text.as_bytes()).ok().map(|reply| (reply, body))
        };
        (0..50).map_while(put).collect::<Vec<_>>()
    });
    let mut acknowledged = Vec::new();
    for (reply, body) in answers.iter().flatten() {
        if reply.status == 200 {
            acknowledged.push((reply.json(), body));
        } else {
            reply.expect_error(503, "SERVICE_UNAVAILABLE");
        }
    }
    assert!(!acknowledged.is_empty());
    let ended = server.running.wait();
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
    assert!(ended.stderr.contains("ERROR") && ended.stderr.contains("coffer: "), "{ended:#?}");
    let calls = strace::calls(&trace.all());
    let failed = |call: &&Call| call.syncs(&log(&dir)) && call.ended.is_some() && !call.succeeded();
    let failed = calls.iter().find(failed).expect("a sync has failed");
    // Every request changes something, whether or not it was answered.
    let late = calls.iter().filter(|call| Some(call.began) > failed.ended);
    let late: Vec<_> = late.filter(|call| call.text.contains("\"HTTP/1.1 2")).collect();
    assert!(late.is_empty(), "answered after {failed:#?}:\n{late:#?}");

    let server = launch.start();
    let admin = server.admin();
    let list = admin.get(SECRETS).expect(200);
    for (reply, body) in &acknowledged {
        let id = reply["secret"]["id"].as_str().unwrap();
        let found = list["secrets"].as_array().unwrap().iter().any(|one| one["id"] == id);
        assert!(found, "{id} was acknowledged but is missing");
        let value: Value = admin.get(&format!("/api/secrets/{id}/value")).expect(200);
        assert_eq!(value["value"], body["value"]);
    }
    server.stop();
    rows_fit(&dir.path().join("data"));
    await_release(&dir.path().join("data"));
    support::audit_rows(dir.path());
}
