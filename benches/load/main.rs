//! Measures the real binary over loopback. Each figure is shown next to a yardstick from the same
//! run, because machines differ and are noisy.
//!
//! `cargo bench` runs it. `COFFER_BENCH_SECONDS` sets how long one measurement takes (default 2).
//! It asserts nothing; it prints ratios and targets.

mod client;
mod server;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use client::Load;
use server::{Bare, Coffer};

/// How many times each pair is measured. The median ratio counts.
const ROUNDS: usize = 3;
const SECRETS_IN_LIST: usize = 100;
const MANY_SECRETS: usize = 10_000;

fn main() {
    if server::is_bare_server() {
        return server::run_bare();
    }
    let seconds = std::env::var("COFFER_BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(2.0));
    let dir = tempfile::tempdir().expect("a directory for the databases");
    println!("one measurement takes {time:?}; the median of {ROUNDS} pairs is shown\n");
    println!(
        "{:<44} {:>12} {:>12} {:>8} {:>8}",
        "what", "measured", "yardstick", "ratio", "target"
    );
    writes(dir.path(), time);
    reads(dir.path(), time);
    footprint(dir.path());
}

/// Measures both alternately and prints the round with the median ratio.
fn compare(
    what: &str,
    target: f64,
    mut measured: impl FnMut() -> f64,
    mut yardstick: impl FnMut() -> f64,
) {
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (yardstick(), measured())).collect();
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (yardstick, measured) = rounds[ROUNDS / 2];
    let ratio = measured / yardstick;
    println!("{what:<44} {measured:>10.0}/s {yardstick:>10.0}/s {ratio:>8.2} {target:>8.2}");
}

fn writes(dir: &Path, time: Duration) {
    let coffer = Coffer::start(&dir.join("writes"));
    let syncs = || raw_syncs(dir, time);
    println!("yardstick: append of 512 bytes and fdatasync, one thread");
    for (connections, target) in [(1, 0.15), (32, 1.2)] {
        let create = || {
            Load { connections, time }.run(&coffer, |thread, n| {
                let key = format!("K{}_{thread}_{n}", coffer.next_run());
                coffer.post(
                    "/api/environments/development/secrets",
                    &format!(
                        r#"{{"key":"{key}","value":"postgres://app:hunter2@db.internal/app"}}"#
                    ),
                )
            })
        };
        compare(&format!("creates, {connections} connection(s)"), target, create, syncs);
    }
    let id = coffer.create("REVEALED");
    for (connections, target) in [(1, 0.15), (32, 1.2)] {
        let request = coffer.get(&format!("/api/secrets/{id}/value"));
        let reveal = || Load { connections, time }.run(&coffer, |_, _| request.clone());
        compare(&format!("reveals, {connections} connection(s)"), target, reveal, syncs);
    }
}

fn reads(dir: &Path, time: Duration) {
    let coffer = Coffer::start(&dir.join("reads"));
    let ids: Vec<_> = (0..SECRETS_IN_LIST).map(|n| coffer.create(&format!("KEY_{n:03}"))).collect();
    let bare = Bare::start();
    println!("yardstick: a bare actix-web handler that returns 300 bytes of JSON");
    let connections = 16;
    let request = bare.get("/");
    let bare_load = || Load { connections, time }.run(&bare, |_, _| request.clone());
    let list = coffer.get("/api/environments/development/secrets");
    let lists = || Load { connections, time }.run(&coffer, |_, _| list.clone());
    compare("lists of 100 secrets", 0.4, lists, bare_load);
    let single: Vec<_> = ids.iter().map(|id| coffer.get(&format!("/api/secrets/{id}"))).collect();
    let reads = || {
        Load { connections, time }
            .run(&coffer, |thread, n| single[(thread * 7 + n) % single.len()].clone())
    };
    compare("single reads", 0.4, reads, bare_load);
}

fn footprint(dir: &Path) {
    let show = |what: &str, measured: String, target: &str| {
        println!("{what:<44} {measured:>12} {:>12} {:>8} {target:>8}", "", "");
    };
    println!("no yardstick: sizes and times as they are");
    let data = dir.join("footprint");
    let coffer = Coffer::start(&data);
    show("resident memory, idle", mib(coffer.resident_kib()), "25 MiB");
    let load = Load { connections: 32, time: Duration::from_secs(120) };
    load.run_up_to(MANY_SECRETS, &coffer, |thread, n| {
        coffer.post(
            "/api/environments/development/secrets",
            &format!(
                r#"{{"key":"K_{thread}_{n}","value":"postgres://app:hunter2@db.internal/app"}}"#
            ),
        )
    });
    show("resident memory, after 10 000 creates", mib(coffer.resident_kib()), "");
    coffer.stop();
    let mut starts: Vec<_> = (0..ROUNDS + 2)
        .map(|_| {
            let begin = Instant::now();
            let coffer = Coffer::start(&data);
            let ready = begin.elapsed();
            let resident = coffer.resident_kib();
            coffer.stop();
            (ready, resident)
        })
        .collect();
    starts.sort_unstable();
    let (ready, resident) = starts[starts.len() / 2];
    show("resident memory, started with 10 000 secrets", mib(resident), "");
    show("start to ready with 10 000 secrets", format!("{} ms", ready.as_millis()), "100 ms");
    let log = std::fs::metadata(data.join("db/db")).map_or(0, |file| file.len());
    show("database file with 10 000 secrets", mib(log / 1024), "");
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

/// Measures the disk: the unit that durable writes are compared with.
fn raw_syncs(dir: &Path, time: Duration) -> f64 {
    let mut file = File::create(dir.join("raw")).expect("a file beside the database");
    let begin = Instant::now();
    let mut count = 0u32;
    while begin.elapsed() < time {
        file.write_all(&[7; 512]).expect("512 bytes of disk space");
        file.sync_data().expect("a successful sync");
        count += 1;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}
