//! SIGKILL at each step of a restore and of a backup. Afterwards the result is complete or absent,
//! and the next attempt succeeds.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::api::new_secret;
use support::backups::{BACKUP, root_key, sound};
use support::kill_points;
use support::process::{Launch, Running, Server, strace};
use support::tier;
use support::{await_release, skip};
use tempfile::TempDir;

/// System calls that write data or make it durable or visible. The kill comes instead of one of
/// them.
const CALLS: [&str; 8] =
    ["mkdir", "rename", "fsync", "fdatasync", "unlink", "ftruncate", "pwrite64", "write"];

/// Creates the directory of a stopped server.
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
        kills += kill_points::at_each(call, |cut| {
            let _ = std::fs::remove_dir_all(&to);
            let hit = cut.hit(&cut.run(&words, &restore));
            if !to.join("db").exists() {
                assert!(hit, "{cut}: nothing was restored");
                half_is_no_database(&to, &key, cut);
                let again = restore.run("");
                assert_eq!(again.code, Some(0), "{cut}: {again:#?}");
            }
            await_release(&to);
            support::rows_fit(&to);
            let opened = support::open_stopped(&to);
            let verified =
                coffer::vault::verify_audit(&opened, &root_key(&dir.path().join("data")));
            assert_eq!(verified.unwrap().broken, None, "{cut}");
            hit
        });
    }
    assert!(kills >= tier::rounds(20, 7), "only {kills} kills");
    // A second attempt removes what the first one left, and keeps servers out meanwhile.
    for call in ["unlink", "mkdir"] {
        kill_points::at_each(call, |cut| {
            let _ = std::fs::remove_dir_all(&to);
            let first = kill_points::first("fdatasync");
            assert!(first.hit(&first.run(&words, &restore)), "{first}: the restore was not killed");
            assert!(to.join("restoring/db").exists(), "the killed restore left nothing to remove");
            let hit = cut.hit(&cut.run(&words, &restore));
            let is_kept_out = to.join("db").exists() || to.join("restoring").exists();
            assert!(is_kept_out, "{cut} of a second restore lets a server start");
            hit
        });
    }
    // A server starts on the result.
    let launch = Launch::on(&to).variable("COFFER_ROOT_KEY_FILE", &key);
    launch.start().stop();
}

/// Checks that a server does not treat the remains of a killed restore as a new directory, whether
/// or not they contain rows of the backup.
#[track_caller]
fn half_is_no_database(data_dir: &Path, key: &Path, cut: &kill_points::Cut<'_>) {
    if !data_dir.join("restoring").exists() {
        return;
    }
    let started = Launch::on(data_dir).variable("COFFER_ROOT_KEY_FILE", key).fails();
    assert!(started.stderr.contains("was interrupted"), "{cut}: {started:#?}");
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
        let mut number = 0;
        kills += kill_points::at_each(call, |cut| {
            number += 1;
            let file = dir.path().join(format!("{call}-{number}.backup"));
            let hit = cut.hit(&cut.run(&words, &create(&dir, &file)));
            assert!(hit || file.exists(), "{cut}");
            if file.exists() {
                sound(&std::fs::read(&file).unwrap(), &root);
            }
            hit
        });
    }
    assert!(kills >= tier::rounds(8, 3), "only {kills} kills");
    assert_named_for_what_they_are(dir.path());
    // The database is undamaged.
    support::rows_fit(&dir.path().join("data"));
    assert_eq!(create(&dir, &dir.path().join("last.backup")).run("").code, Some(0));
}

/// Checks that every partial file has a name that says so.
#[track_caller]
fn assert_named_for_what_they_are(directory: &Path) {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    let names: Vec<_> = files.filter(|path| !has_end(path, "backup")).collect();
    assert!(names.iter().all(|path| has_end(path, "part")), "{names:?}");
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|is| is == end)
}

/// The same for a running server, which is unaffected by the kill of its client.
#[test]
fn a_client_that_is_killed_anywhere_leaves_a_whole_file_or_none() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return skip(why),
    };
    let dir = stopped();
    let root = root_key(&dir.path().join("data"));
    let server = Launch::on(&dir.path().join("data")).start();
    let cli = support::cli::Cli::of(&server);
    let out = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for call in ["rename", "fsync", "write"] {
        let mut number = 0;
        kills += kill_points::at_each(call, |cut| {
            number += 1;
            let file = out.path().join(format!("{call}-{number}.backup"));
            let launch = cli.launch(["backup", "create"]).argument(&file);
            let hit = cut.hit(&cut.run(&words, &launch));
            assert!(hit || file.exists(), "{cut}");
            if file.exists() {
                sound(&std::fs::read(&file).unwrap(), &root);
            }
            sound(&taken_at_last(&server), &root);
            hit
        });
    }
    assert!(kills >= tier::rounds(4, 2), "only {kills} kills");
    assert_named_for_what_they_are(out.path());
    let ended = server.stop();
    assert!(!ended.stderr.contains("ERROR") && !ended.stderr.contains("panic"), "{ended:#?}");
}

/// Takes a backup as soon as no other one is running.
#[track_caller]
fn taken_at_last(server: &Server) -> Vec<u8> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = server.admin().get(BACKUP);
        if reply.status == 200 {
            return reply.body;
        }
        reply.expect_error(503, "SERVICE_UNAVAILABLE");
        assert!(
            Instant::now() < until,
            "no other backup is running, but a new one is refused: {}",
            reply.text()
        );
        std::thread::yield_now();
    }
}

/// If a server dies in the middle of a backup, its client reports an error and leaves no file.
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
        // The server is gone.
    });
    let cli = support::cli::Cli::on(address);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.backup");
    let ended = cli.launch(["backup", "create"]).argument(&file).run("");
    server.join().unwrap();
    ended.refuses(1, ["was interrupted", "Nothing was saved"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// More bytes than the socket buffers hold.
const LARGE: usize = 24 << 20;
const VALUE_BYTES: usize = 60_000;

fn value(number: usize) -> String {
    format!("{number} {}", "~".repeat(VALUE_BYTES))
}

/// Starts a server with `LARGE` bytes of secrets. Returns the ID of each secret with its number.
fn large(dir: &TempDir) -> (Launch, Server, Vec<(String, usize)>) {
    let launch = Launch::on(&dir.path().join("data"))
        .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let server = launch.start();
    let ids = support::api::parallel(4, |part| {
        let admin = server.admin();
        let numbers = (part..LARGE / VALUE_BYTES).step_by(4);
        let made = numbers.map(|number| {
            let made = new_secret(&admin, "development", &format!("KEY_{number}"), &value(number));
            (support::api::text(&made, "id").to_owned(), number)
        });
        made.collect::<Vec<_>>()
    });
    (launch, server, ids.concat())
}

/// Starts a client that has begun to receive a backup, and suspends it.
fn half_taken(server: &Server, file: &Path) -> Running {
    let cli = support::cli::Cli::of(server);
    let client = cli.launch(["backup", "create"]).argument(file).spawn();
    while std::fs::read_dir(file.parent().unwrap()).unwrap().next().is_none() {
        assert!(client.stderr.so_far().is_empty(), "{}", client.stderr.so_far());
        std::thread::yield_now();
    }
    client.signal(Signal::STOP);
    client
}

/// The partial file stays next to the next backup, but the killed client no longer blocks other
/// backups.
#[test]
fn a_client_that_is_killed_in_the_middle_lets_the_next_one_in() {
    let dir = tempfile::tempdir().unwrap();
    let (_, server, ids) = large(&dir);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("a.backup");
    let client = half_taken(&server, &file);
    let refused = server.admin().get(BACKUP).expect_error(503, "SERVICE_UNAVAILABLE");
    assert!(refused["message"].as_str().unwrap().contains("another backup"), "{refused}");
    client.signal(Signal::KILL);
    assert_eq!(client.wait().signal, Some(9));
    assert!(!file.exists());
    assert_named_for_what_they_are(out.path());
    let root = root_key(&dir.path().join("data"));
    sound(&taken_at_last(&server), &root);
    let made = support::cli::Cli::of(&server).launch(["backup", "create"]).argument(&file).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    let (summary, _) = sound(&std::fs::read(&file).unwrap(), &root);
    assert_eq!(summary.counts.get("secrets"), Some(&(ids.len() as u64)));
    let (id, number) = &ids[ids.len() / 2];
    assert_eq!(support::api::reveal(&server.admin(), id), value(*number));
    server.stop();
    support::rows_fit(&dir.path().join("data"));
}

fn with_end(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| has_end(path, end)).collect()
}

/// The next start makes the backup that is due, and removes what is left of the interrupted one.
#[test]
fn a_server_that_is_killed_while_it_makes_its_own_backup_makes_it_at_the_next_start() {
    const TRIES: usize = 20;

    let dir = tempfile::tempdir().unwrap();
    let (launch, server, ids) = large(&dir);
    server.stop();
    let backups = dir.path().join("backups");
    let launch = launch.variable("COFFER_BACKUP__DIRECTORY", &backups);
    let in_the_middle = (0..TRIES).any(|_| {
        await_release(&dir.path().join("data"));
        let server = launch.start();
        while with_end(&backups, "part").is_empty() && with_end(&backups, "backup").is_empty() {
            std::thread::yield_now();
        }
        server.kill();
        let whole = with_end(&backups, "backup");
        for path in &whole {
            // The kill came too late. The next start makes another backup.
            sound(&std::fs::read(path).unwrap(), &root_key(&dir.path().join("data")));
            std::fs::remove_file(path).unwrap();
        }
        whole.is_empty()
    });
    assert!(in_the_middle, "all {TRIES} kills came too late");
    let half = with_end(&backups, "part");
    assert_eq!(half.len(), 1, "{half:?}");
    makes_its_own(&dir, &launch, ids.len());
    assert!(!half[0].exists());
}

/// The kill comes when the file is complete but not yet renamed.
#[test]
fn a_server_that_is_killed_before_it_names_its_own_backup_makes_it_at_the_next_start() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return skip(why),
    };
    let dir = stopped();
    let backups = dir.path().join("backups");
    let launch = Launch::on(&dir.path().join("data"));
    let launch = launch.variable("COFFER_BACKUP__DIRECTORY", &backups);
    let kills = kill_points::at_each("renameat2", |cut| {
        let cut_words = cut.words();
        let cut_words: Vec<_> = cut_words.iter().map(String::as_str).collect();
        let (running, _trace) = strace::spawn(&launch, &words, &cut_words);
        if running.stderr.wait_for(|line| line.contains("created backup ")).is_some() {
            running.signal(Signal::TERM);
        }
        let hit = cut.hit(&running.wait());
        assert_eq!(with_end(&backups, "backup").is_empty(), hit, "{cut}");
        assert_eq!(with_end(&backups, "part").len(), usize::from(hit), "{cut}");
        await_release(&dir.path().join("data"));
        hit
    });
    assert_eq!(kills, 1);
    makes_its_own(&dir, &launch, 4);
}

/// Fails unless, after a start, there is exactly one backup, complete and with this many
/// secrets in it.
#[track_caller]
fn makes_its_own(dir: &TempDir, launch: &Launch, secrets: usize) {
    let backups = dir.path().join("backups");
    await_release(&dir.path().join("data"));
    let server = launch.start();
    let until = Instant::now() + Duration::from_secs(30);
    while with_end(&backups, "backup").is_empty() {
        assert!(Instant::now() < until, "no backup was made: {}", server.running.stderr.so_far());
        std::thread::yield_now();
    }
    server.stop();
    let whole = with_end(&backups, "backup");
    assert_eq!((whole.len(), with_end(&backups, "part").len()), (1, 0), "{whole:?}");
    let (summary, _) =
        sound(&std::fs::read(&whole[0]).unwrap(), &root_key(&dir.path().join("data")));
    assert_eq!(summary.counts.get("secrets"), Some(&(secrets as u64)));
    support::rows_fit(&dir.path().join("data"));
}

/// The same with a real server, which then restarts with all its data.
#[test]
fn a_server_that_is_killed_while_it_sends_a_backup_leaves_no_file_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (launch, server, ids) = large(&dir);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("a.backup");
    // The client reads nothing more, so the server is still sending when it is killed.
    let client = half_taken(&server, &file);
    server.kill();
    client.signal(Signal::CONT);
    client.wait().refuses(1, ["was interrupted", "Nothing was saved"]);
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "a partial file was left");
    await_release(&dir.path().join("data"));
    support::rows_fit(&dir.path().join("data"));
    let server = launch.start();
    let listed = server.admin().get("/api/environments/development/secrets").expect(200);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), ids.len());
    for (id, number) in ids.iter().step_by(40) {
        assert_eq!(support::api::reveal(&server.admin(), id), value(*number));
    }
    // The next backup succeeds.
    let made = support::cli::Cli::of(&server).launch(["backup", "create"]).argument(&file).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    sound(&std::fs::read(&file).unwrap(), &root_key(&dir.path().join("data")));
    server.stop();
}

/// This used to be flaky. A child process that another thread starts has a copy of every open file
/// until it calls exec, and a lock that is closed without being released stays held by that copy.
#[test]
fn a_lock_that_was_waited_for_is_free_whatever_children_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let take = || coffer::store::DataDirLock::acquire(dir.path());
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
