//! SIGKILL at each step of a restore and of a backup: afterwards there is the
//! whole thing or nothing, and the next try goes through.

mod harness;

use std::path::{Path, PathBuf};

use harness::acts::new_secret;
use harness::backups::{root_key, sound};
use harness::process::{Ended, Launch, strace};
use harness::{await_release, skip};
use rustix::process::Signal;
use tempfile::TempDir;

/// What makes things durable or visible; a kill comes instead of one of them.
const CALLS: [&str; 5] = ["mkdir", "rename", "fsync", "fdatasync", "unlink"];
/// More than any command makes of one of them.
const MOST_CALLS: usize = 60;

/// Runs a command that is killed at its n-th call, counted in each thread.
fn killed_at(words: &[String], launch: &Launch, call: &str, number: usize) -> Ended {
    // Some systems have one of a family only in its newer form.
    let inject = format!("inject=/^{call}:signal=KILL:when={number}");
    let mut wrapper = words.to_vec();
    wrapper.extend(["-f", "-qq", "-o", "/dev/null", "-e", &inject].map(str::to_owned));
    launch.clone().under(wrapper).run("")
}

/// A stopped server's directory.
fn stopped() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    for n in 0..4 {
        new_secret(&server.admin(), "development", &format!("KEY_{n}"), &"v".repeat(20_000));
    }
    server.stop();
    dir
}

fn create(dir: &TempDir, file: &Path) -> Launch {
    let launch = Launch::bare(dir.path()).arguments(["backup", "create", "--offline"]);
    launch.argument(file).argument("--data-dir").argument(dir.path().join("data"))
}

#[test]
fn a_restore_that_is_killed_anywhere_leaves_everything_or_nothing() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return skip(why),
    };
    let dir = stopped();
    let file = dir.path().join("a.backup");
    assert_eq!(create(&dir, &file).run("").code, Some(0));
    let (to, mut kills) = (dir.path().join("new"), 0);
    let key = dir.path().join("data/root.key");
    let restore = Launch::bare(dir.path())
        .arguments(["backup", "restore", "a.backup", "--data-dir", "new"])
        .variable("COFFER_ROOT_KEY_FILE", &key);
    for call in CALLS {
        for number in 1..=MOST_CALLS {
            let _ = std::fs::remove_dir_all(&to);
            let ended = killed_at(&words, &restore, call, number);
            if ended.code == Some(0) {
                break;
            }
            kills += 1;
            let place = format!("killed at {call} {number}");
            if !to.join("db").exists() {
                half_is_no_database(&to, &key, &place);
                let again = restore.run("");
                assert_eq!(again.code, Some(0), "{place}: {again:#?}");
            }
            await_release(&to);
            harness::rows_fit(&to);
            let opened = harness::open_stopped(&to);
            let verified =
                coffer::vault::verify_audit(&opened, &root_key(&dir.path().join("data")));
            assert_eq!(verified.unwrap().broken, None, "{place}");
        }
    }
    assert!(kills >= 20, "only {kills} kills");
    // A second try clears away what the first has left, and keeps servers out meanwhile.
    for call in ["unlink", "mkdir"] {
        for number in 1..=MOST_CALLS {
            let _ = std::fs::remove_dir_all(&to);
            killed_at(&words, &restore, "fdatasync", 1);
            assert!(to.join("restoring/db").exists(), "there is something to clear away");
            let ended = killed_at(&words, &restore, call, number);
            let is_kept_out = to.join("db").exists() || to.join("restoring").exists();
            assert!(is_kept_out, "a second restore was killed at {call} {number}");
            if ended.code == Some(0) {
                break;
            }
        }
    }
    // And a server takes it.
    let launch = Launch::on(&to).variable("COFFER_ROOT_KEY_FILE", &key);
    launch.start().stop();
}

/// A server that is started on what a kill left does not take it for a new
/// directory, be there rows of the backup in it or not.
#[track_caller]
fn half_is_no_database(data_dir: &Path, key: &Path, place: &str) {
    if !data_dir.join("restoring").exists() {
        return;
    }
    let started = Launch::on(data_dir).variable("COFFER_ROOT_KEY_FILE", key).fails();
    assert!(started.stderr.contains("was cut off"), "{place}: {started:#?}");
}

#[test]
fn a_backup_that_is_killed_anywhere_leaves_a_whole_file_or_none() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return skip(why),
    };
    let dir = stopped();
    let root = root_key(&dir.path().join("data"));
    let mut kills = 0;
    for call in ["rename", "fsync", "fdatasync", "write"] {
        for number in 1..=MOST_CALLS {
            let file = dir.path().join(format!("{call}-{number}.backup"));
            let ended = killed_at(&words, &create(&dir, &file), call, number);
            if file.exists() {
                sound(&std::fs::read(&file).unwrap(), &root);
            }
            if ended.code == Some(0) {
                assert!(file.exists());
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 8, "only {kills} kills");
    let halves: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "backup"))
        .collect();
    // What a kill leaves says by its name that it is not whole.
    assert!(halves.iter().all(|path| path.extension().is_some_and(|end| end == "part")));
    // The database has not suffered.
    harness::rows_fit(&dir.path().join("data"));
    assert_eq!(create(&dir, &dir.path().join("last.backup")).run("").code, Some(0));
}

/// A server that dies in the middle: its client has an error and no file.
#[test]
fn a_backup_whose_server_is_killed_is_none() {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n";
        let mut begun = b"coffer backup v1\n\x01".to_vec();
        begun.resize(4096, 7);
        stream.write_all(format!("{head}1000\r\n").as_bytes()).unwrap();
        stream.write_all(&begun).unwrap();
        // And it is gone.
    });
    let cli = harness::cli::Cli::on(address);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.backup");
    let ended = cli.launch(["backup", "create"]).argument(&file).run("");
    server.join().unwrap();
    ended.refuses(1, ["broke off", "Nothing was kept"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Bytes that no socket's buffers hold.
const LARGE: usize = 24 << 20;

/// The same with a real server, which then starts again with everything.
#[test]
fn a_server_that_is_killed_while_it_sends_a_backup_leaves_no_file_and_loses_nothing() {
    const VALUE_BYTES: usize = 60_000;

    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"))
        .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let server = launch.start();
    let value = |number: usize| format!("{number} {}", "~".repeat(VALUE_BYTES));
    let ids: Vec<_> = harness::acts::parallel(4, |part| {
        let admin = server.admin();
        let numbers = (part..LARGE / VALUE_BYTES).step_by(4);
        let made = numbers.map(|number| {
            let made = new_secret(&admin, "development", &format!("KEY_{number}"), &value(number));
            (harness::acts::text(&made, "id").to_owned(), number)
        });
        made.collect::<Vec<_>>()
    })
    .concat();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("a.backup");
    let cli = harness::cli::Cli::of(&server);
    let client = cli.launch(["backup", "create"]).argument(&file).spawn();
    while std::fs::read_dir(out.path()).unwrap().next().is_none() {
        assert!(client.stderr.so_far().is_empty(), "{}", client.stderr.so_far());
        std::thread::yield_now();
    }
    // It takes nothing more, so the server is in the middle when it is killed.
    client.signal(Signal::STOP);
    server.kill();
    client.signal(Signal::CONT);
    client.wait().refuses(1, ["broke off", "Nothing was kept"]);
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nor is there a half");
    await_release(&dir.path().join("data"));
    harness::rows_fit(&dir.path().join("data"));
    let server = launch.start();
    let listed = server.admin().get("/api/environments/development/secrets").expect(200);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), ids.len());
    for (id, number) in ids.iter().step_by(40) {
        assert_eq!(harness::acts::reveal(&server.admin(), id), value(*number));
    }
    // And the next one goes through.
    let made = harness::cli::Cli::of(&server).launch(["backup", "create"]).argument(&file).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    sound(&std::fs::read(&file).unwrap(), &root_key(&dir.path().join("data")));
    server.stop();
}

/// It was flaky: a child that another thread starts has a copy of every open file
/// until it becomes its program, and a lock that is closed and not let go of
/// stays with that copy.
#[test]
fn a_lock_that_was_waited_for_is_free_whatever_children_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let take = || coffer::store::Held::take(dir.path());
    drop(take().unwrap());
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    std::process::Command::new("true").status().unwrap();
                }
            });
        }
        let taken: Result<Vec<_>, _> = (0..2000)
            .map(|_| {
                await_release(dir.path());
                take().map(drop)
            })
            .collect();
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        taken.unwrap();
    });
}
