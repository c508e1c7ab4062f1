//! Cuts the power under the real binary, on a disk that then holds only what was synced, and
//! perhaps parts of the rest, and perhaps half a write. After each cut the database opens, every
//! acknowledged write is there, nothing partial is visible, the rows are consistent and the audit
//! chain verifies. The same holds after failed syncs and after writes that find no space.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::json;
use support::backups::{root_key, sound};
use support::disk::{Disk, Survivors, print_of};
use support::load;
use support::load::{CLIENTS, Worker, compare, logged};
use support::machine::{Machine, gone, machine_or_skip};
use support::process::Server;
use support::rng::{Rng, Seed};
use support::rotations;
use support::tier;

/// The number of power cuts under load. `COFFER_TEST_POWER_CUTS` overrides it.
fn cuts() -> usize {
    tier::rounds(200, 10)
}
/// The number of answers before the starts that are cut off.
const STORED: usize = 120;
/// Operations that must have occurred many times over all the cuts.
const EVERY_KIND: [&str; 10] = [
    "create",
    "update",
    "delete",
    "reveal",
    "make write-only",
    "update what is write-only",
    "be refused a value",
    "put a var",
    "make an environment",
    "delete an environment",
];
/// About as many changes as a starting server makes to the disk.
const START_STEPS: usize = 30;

/// Runs the clients and, meanwhile, `end`, which stops the load. `end` receives a message for each
/// answer.
fn load_until(
    server: &Server,
    workers: &mut [Worker],
    excused: &(dyn Fn() -> bool + Sync),
    end: impl FnOnce(&Receiver<()>),
) {
    let token = server.token();
    let (answered, answers) = channel();
    std::thread::scope(|scope| {
        for worker in workers {
            let (token, answered) = (&token, answered.clone());
            scope.spawn(move || worker.work((server.address, token), &answered, excused));
        }
        drop(answered);
        end(&answers);
    });
}

/// Runs the clients until the power is off.
fn load_until_cut(machine: &Machine, server: Server, workers: &mut [Worker]) {
    load_until(&server, workers, &|| machine.disk.is_off(), |_| {
        machine.disk.wait_for_cut();
        server.running.signal(Signal::KILL);
    });
    server.running.wait();
}

/// Restarts until a start is not chosen for a cut, and cuts the power during the chosen starts.
/// Returns the number of cuts.
fn recover(machine: &Machine, rng: &mut Rng) -> usize {
    let mut cuts = 0;
    while rng.below(3) == 0 {
        machine.disk.cut_after(rng.below(START_STEPS) as u64);
        if let Some(server) = machine.starts() {
            machine.disk.spare();
            gone(server);
        }
        cuts += usize::from(machine.disk.is_off());
        machine.disk.restore(Survivors::any(rng), rng);
    }
    cuts
}

/// What was in progress at the cuts.
#[derive(Debug, Default)]
struct Tally {
    under_load: usize,
    while_recovering: usize,
    while_rotating: usize,
    while_sending_a_backup: usize,
    backups_opened: usize,
}

#[test]
fn whatever_was_answered_survives_a_power_cut() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let mut machine = machine_or_skip!();
    machine.launch = machine.launch.variable("COFFER_LIMITS__VERSIONS_KEPT", "1000");
    let wanted = std::env::var("COFFER_TEST_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok());
    let wanted = wanted.unwrap_or_else(cuts);
    let mut workers: Vec<_> = (0..CLIENTS).map(|number| Worker::new(number, seed.0)).collect();
    let mut tally = Tally::default();
    let mut server = machine.starts().expect("the server starts while the power is on");
    let root = root_key(&machine.data_dir());
    // The last worker does nothing itself.
    workers.push(rotations::stock(&server));
    while tally.under_load < wanted {
        let steps = rotations::steps(&server.admin());
        workers.iter_mut().for_each(|worker| worker.beside.clone_from(&steps));
        let steps = if rng.below(4) == 0 { 400 } else { 60 };
        machine.disk.cut_after(rng.below(steps) as u64);
        load_until_cut(&machine, server, &mut workers[..CLIENTS]);
        let survivors = Survivors::any(&mut rng);
        machine.disk.restore(survivors, &mut rng);
        tally.under_load += 1;
        tally.while_rotating += usize::from(rotations::is_rotating(machine.copy().path()));
        tally.while_recovering += recover(&machine, &mut rng);
        let when = format!("cut {}, {survivors:?}", tally.under_load);
        let logged = logged(machine.copy().path());
        load::all_logged(&workers, &logged, &when);
        server = machine.starts().expect("the server starts after the power cut");
        for worker in &mut workers {
            worker.settle(&logged, &server.admin());
        }
        compare(&server, &workers);
        rotations::holds(&server.admin(), &mut workers);
        // Opens one of the backups that completed in this round.
        let files: Vec<_> = workers.iter_mut().filter_map(|one| one.besides.file.take()).collect();
        for file in files.iter().take(1) {
            sound(file, &root);
            tally.backups_opened += 1;
        }
    }
    rotations::ends(&server.admin());
    compare(&server, &workers);
    server.stop();
    let ended =
        machine.runs(&machine.command(["doctor", "--data-dir"]).argument(machine.data_dir()));
    assert!(!ended.stdout.contains("error"), "{ended:#?}");
    let sum = |of: fn(&Worker) -> usize| workers.iter().map(of).sum::<usize>();
    tally.while_sending_a_backup = sum(|worker| worker.besides.halves);
    let (acknowledged, files) = (sum(|one| one.acknowledged.len()), sum(|one| one.besides.files));
    let refused = sum(|one| one.besides.refused);
    println!("{acknowledged} acknowledged, {files} backups whole, {refused} refused; {tally:#?}");
    let done = load::done(&workers);
    println!("{done:#?}");
    // A run with few cuts need not cover everything.
    let least = |one_in: usize| tier::rounds(wanted / one_in, 0);
    for kind in EVERY_KIND {
        let count = done.get(kind).copied().unwrap_or_default();
        assert!(count >= least(10), "{kind}: {done:#?}");
    }
    assert!(acknowledged >= wanted && tally.while_recovering >= least(10));
    assert!(tally.while_rotating >= least(20) && tally.backups_opened >= least(20));
    assert!(tally.while_sending_a_backup >= least(20));
}

/// Cuts the power before every step of the first start, and of the second.
#[test]
fn a_start_is_cut_off_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    for is_first in [true, false] {
        let machine = machine_or_skip!();
        let mut workers: Vec<_> = (0..CLIENTS).map(|number| Worker::new(number, seed.0)).collect();
        if !is_first {
            put_something(&machine, &mut workers);
        }
        let before = machine.disk.fork();
        let (mut looks, mut seen) = (0, BTreeSet::new());
        for steps in tier::steps(u64::MAX, 6, &mut rng) {
            machine.disk.become_like(&before);
            machine.disk.cut_after(steps);
            let started = machine.starts();
            let is_whole = started.is_some();
            started.map(gone);
            let when = format!("first: {is_first}, step {steps}");
            // Before the first start has completed, only another start can tell what is there.
            for survivors in Survivors::LOTS.into_iter().filter(|_| !is_first) {
                let copy = machine.disk.left(survivors, &mut rng);
                looks += 1;
                if seen.insert(print_of(copy.path())) {
                    let when = format!("{when}, {survivors:?}");
                    load::all_logged(&workers, &logged(copy.path()), &when);
                }
            }
            let survivors = Survivors::any(&mut rng);
            machine.disk.restore(survivors, &mut rng);
            let server = machine.starts().expect("the server starts after the power cut");
            compare(&server, &workers);
            // The token in the directory works.
            let new = json!({ "key": "KEY", "value": "value" });
            let made = server.admin().post("/api/environments/development/secrets", &new);
            assert_eq!(made.status, 200, "{when}, {survivors:?}");
            server.stop();
            load::all_logged(&workers, &logged(machine.copy().path()), &when);
            if is_whole {
                assert!(steps > 5, "a start makes only {steps} steps");
                println!(
                    "{steps} steps, {looks} results examined, {} of them distinct",
                    seen.len()
                );
                break;
            }
        }
    }
}

/// Runs the clients until there is some data of every kind, and kills the server.
fn put_something(machine: &Machine, workers: &mut [Worker]) {
    let server = machine.starts().expect("the server starts while the power is on");
    load_until(&server, workers, &|| false, |answers| {
        assert_eq!(answers.iter().take(STORED).count(), STORED);
        server.running.signal(Signal::KILL);
    });
    server.running.wait();
    // The machine keeps running, so pending writes reach its disk as well.
    let logged = logged(machine.copy().path());
    let server = machine.starts().expect("the server starts while the power is on");
    workers.iter_mut().for_each(|worker| worker.settle(&logged, &server.admin()));
    compare(&server, workers);
    gone(server);
    println!("{:#?}", load::done(workers));
}

/// What fails on a disk that still has power.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Every sync fails from a certain moment on.
    Syncs,
    /// Every write fails for lack of space.
    NoSpace,
    /// One write fails.
    Write,
}

impl Trouble {
    fn begins(self, disk: &Disk, after: u64) {
        match self {
            Self::Syncs => disk.fail_syncs_after(after),
            Self::NoSpace => disk.fill_after(after),
            Self::Write => disk.fail_one_write_after(after),
        }
    }

    /// Returns whether the server has hit the failure and must no longer answer with success. The
    /// `acknowledged` file is written after a successful sync; failing to write it is not an error.
    fn has_come(self, disk: &Disk) -> bool {
        match self {
            Self::Syncs | Self::NoSpace => disk.has_failed(),
            Self::Write => disk.has_failed_in(&["data", "db", "db"]),
        }
    }
}

/// After this many answers, a server that hit the failure would have exited.
const ANSWERS: usize = 300;

/// Everything answered with success before the failure is kept, and nothing is answered with
/// success after it. The process exits by itself with a message, or continues to serve. The next
/// start succeeds.
fn trouble(trouble: Trouble, rounds: usize) {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let machine = machine_or_skip!();
    let mut workers: Vec<_> = (0..CLIENTS).map(|number| Worker::new(number, seed.0)).collect();
    let mut server = machine.starts().expect("the server starts on a working disk");
    let (mut failed, mut served_on) = (0, 0);
    for round in 0..rounds {
        let steps = rotations::steps(&server.admin());
        workers.iter_mut().for_each(|worker| worker.beside.clone_from(&steps));
        trouble.begins(&machine.disk, rng.below(60) as u64);
        let excused = || trouble.has_come(&machine.disk);
        load_until(&server, &mut workers, &excused, |answers| {
            if answers.iter().take(ANSWERS).count() == ANSWERS && !excused() {
                server.running.signal(Signal::KILL);
                assert!(machine.disk.has_failed(), "the disk did not fail");
            }
        });
        let ended = server.running.wait();
        if ended.signal.is_some() {
            served_on += 1;
        } else {
            failed += 1;
            assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
            let said = ended.stderr.lines().filter(|line| line.starts_with("coffer: "));
            let said = said.collect::<Vec<_>>().join("\n");
            assert!(said.starts_with("coffer: the database failed") && !said.contains('\n'));
        }
        // Acknowledged changes are on the disk now, and not only in the page cache.
        let copy = machine.disk.left(Survivors::Nothing, &mut rng);
        let when = format!("round {round}");
        load::all_logged(&workers, &logged(copy.path()), &when);
        // The next start hits the same failure, or runs after a reboot, or neither.
        match round % 3 {
            0 => {
                trouble.begins(&machine.disk, rng.below(6) as u64);
                if let Some(server) = machine.starts() {
                    gone(server);
                }
                machine.disk.mend();
            }
            1 => machine.disk.restore(Survivors::Nothing, &mut rng),
            _ => machine.disk.mend(),
        }
        let logged = logged(machine.copy().path());
        load::all_logged(&workers, &logged, &when);
        server = machine.starts().expect("the server starts on a working disk");
        for worker in &mut workers {
            worker.settle(&logged, &server.admin());
        }
        compare(&server, &workers);
        rotations::holds(&server.admin(), &mut workers);
    }
    rotations::ends(&server.admin());
    server.stop();
    println!("{failed} ended by themselves, {served_on} served on; {:#?}", load::done(&workers));
    assert!(workers.iter().any(|worker| !worker.acknowledged.is_empty()));
    assert!(failed > 0 || !tier::is_full());
}

#[test]
fn a_failed_sync_is_no_success_and_the_next_start_is_well() {
    trouble(Trouble::Syncs, tier::rounds(15, 3));
}

/// sled does not continue after a failed write, although the next one would succeed.
#[test]
fn a_failed_write_is_no_success_and_the_next_start_is_well() {
    trouble(Trouble::Write, tier::rounds(12, 3));
}

/// sled cannot continue after a write that found no space.
#[test]
fn a_disk_that_fills_up_below_the_server_is_no_success_and_the_next_start_is_well() {
    trouble(Trouble::NoSpace, tier::rounds(15, 3));
}
