//! Regression tests for faults that the failing disk has found.
#![cfg(target_os = "linux")]

use std::sync::mpsc::channel;

use serde_json::json;
use support::api;
use support::disk::Survivors;
use support::load::{CLIENTS, Worker};
use support::machine::{gone, machine_or_skip};
use support::paths::SECRETS;
use support::process::{Ended, Server, request};
use support::rng::{Rng, Seed};
use support::tier;

/// Runs clients in parallel that write `bytes` per request until the server exits or refuses.
/// Returns the number of writes answered with success.
fn write_until_it_fails(server: &Server, clients: usize, bytes: usize) -> usize {
    let token = server.token();
    let counts = api::parallel(clients, |client| {
        for number in 0.. {
            let key = format!("KEY_{client}_{number}");
            let body = json!({ "key": key, "value": "~".repeat(bytes) }).to_string();
            let text = request(&token, &key, "POST", SECRETS, &body);
            let reply = server.admin().try_raw("POST", text.as_bytes());
            if !reply.is_ok_and(|reply| reply.status == 200) {
                return number;
            }
        }
        unreachable!("the counter has no end")
    });
    counts.into_iter().sum()
}

/// Fails unless the process ended by itself, with a failure code and one clear line.
#[track_caller]
fn ended_well(ended: &Ended) {
    assert_eq!((ended.code, ended.signal), (Some(1), None), "{ended:#?}");
    assert!(!ended.stderr.contains("panic"), "{ended:#?}");
    let said: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("coffer: ")).collect();
    assert_eq!(said.len(), 1, "{ended:#?}");
    assert!(said[0].contains("the database failed") && said[0].contains("Check the disk"));
}

/// The number of rounds. The fault needs two threads inside sled at the same time.
fn rounds() -> u64 {
    tier::rounds(120, 8)
}

/// sled writes its buffers in threads of its own. If a write failed there while another thread was
/// still filling the buffer, nobody was notified: the writer waited for sled, clients waited for
/// the writer, and the process neither worked nor exited. (`src/store/sled/flush_watchdog.rs`)
#[test]
fn a_write_that_fails_in_a_thread_of_sled_does_not_keep_the_writer_waiting_for_ever() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let mut machine = machine_or_skip!();
    machine.launch = machine.launch.variable("COFFER_LIMITS__VERSIONS_KEPT", "1000");
    gone(machine.starts().expect("the server starts on a working disk"));
    let before = machine.disk.fork();
    for round in 0..rounds() {
        machine.disk.become_like(&before);
        let server = machine.starts().expect("the server starts on a working disk");
        machine.disk.fill_after(rng.below(60) as u64);
        // A mixed load; most of its operations can trigger the fault.
        let (token, (answered, _answers)) = (server.token(), channel());
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let mut worker = Worker::new(number, seed.0 + round);
                let (token, answered, disk) = (&token, answered.clone(), &machine.disk);
                scope.spawn(move || {
                    worker.work((server.address, token), &answered, &|| disk.has_failed());
                });
            }
        });
        // `wait` has a deadline.
        ended_well(&server.running.wait());
    }
}

/// sled syncs once more when it closes the database and panics if that fails. The process used to
/// exit with code 101 and a backtrace. (`src/store/sled/disk.rs`)
#[test]
fn closing_after_a_failed_sync_does_not_panic() {
    for good in 0..4 {
        let machine = machine_or_skip!();
        let server = machine.starts().expect("the server starts on a working disk");
        machine.disk.fail_syncs_after(good);
        write_until_it_fails(&server, 2, 10);
        ended_well(&server.running.wait());
    }
}

/// The same during a requested stop. (`settle` in `src/store/sled/disk.rs`)
#[test]
fn a_sync_that_fails_at_the_stop_does_not_panic() {
    let mut good = 0;
    loop {
        let machine = machine_or_skip!();
        let server = machine.starts().expect("the server starts on a working disk");
        machine.disk.fail_syncs_after(good);
        server.running.signal(rustix::process::Signal::TERM);
        let ended = server.running.wait();
        if !machine.disk.has_failed() {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
            break;
        }
        ended_well(&ended);
        good += 1;
    }
    assert!(good >= 2, "a stop makes only {good} syncs");
}

/// Pages count as clean after a failed sync: they read well, and no later sync writes them to the
/// disk. A server restarted on them used to acknowledge writes that a power cut removed together
/// with the data they depend on. (`src/store/sled/unsynced.rs`)
#[test]
fn what_is_acknowledged_after_a_failed_sync_survives_a_power_cut() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    for good in 0..6 {
        let machine = machine_or_skip!();
        let server = machine.starts().expect("the server starts on a working disk");
        let before = api::new_secret(&server.admin(), "development", "BEFORE", "before");
        machine.disk.fail_syncs_after(good);
        write_until_it_fails(&server, 2, 10);
        server.running.wait();
        // The disk works again, but the machine was not rebooted.
        machine.disk.mend();
        let server = machine.starts().expect("the server starts on a working disk");
        let after = api::new_secret(&server.admin(), "development", "AFTER", "after");
        gone(server);
        machine.disk.restore(Survivors::Nothing, &mut rng);
        let server = machine.starts().expect("the server starts after the power cut");
        for (made, value) in [(&before, "before"), (&after, "after")] {
            assert_eq!(api::reveal(&server.admin(), api::text(made, "id")), value, "{good}");
        }
        server.stop();
    }
}
