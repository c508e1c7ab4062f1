//! Kills the real binary repeatedly under a mixed load, always on the same directory. After each
//! kill, acknowledged changes are there, unacknowledged ones are there completely or not at all,
//! and the audit log matches.

use std::sync::mpsc::channel;

use support::load;
use support::load::{CLIENTS, Worker, compare, logged};
use support::process::{Launch, Server};
use support::rng::{Rng, Seed};
use support::tier;

/// Lets the clients work until they have received a number of answers, and a little longer.
fn load_and_kill(server: Server, workers: &mut [Worker], rng: &mut Rng) {
    let token = server.token();
    let address = server.address;
    let (answered, answers) = channel();
    let wanted = 5 + rng.below(120);
    let spin = rng.below(200_000);
    std::thread::scope(|scope| {
        for worker in workers {
            let (token, answered) = (&token, answered.clone());
            scope.spawn(move || worker.work((address, token), &answered, &|| false));
        }
        drop(answered);
        let came = answers.iter().take(wanted).count();
        assert_eq!(came, wanted, "the clients gave up before the kill");
        (0..spin).for_each(|_| std::hint::spin_loop());
        server.kill();
    });
}

#[test]
fn whatever_was_answered_survives_a_kill() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"))
        .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let mut workers: Vec<_> = (0..CLIENTS).map(|number| Worker::new(number, seed.0)).collect();
    let mut survived = 0;
    let rounds = tier::rounds(30, 4);
    for round in 0..rounds {
        load_and_kill(launch.start(), &mut workers, &mut rng);
        let logged = logged(dir.path());
        load::all_logged(&workers, &logged, &format!("round {round}"));
        let server = launch.start();
        for worker in &mut workers {
            survived +=
                usize::from(worker.cut_off.as_ref().is_some_and(|(id, _)| logged.contains_key(id)));
            worker.settle(&logged, &server.admin());
        }
        compare(&server, &workers);
        // A kill, so the next round continues with this database as it is, without a clean
        // shutdown.
        server.kill();
    }
    let acknowledged: usize = workers.iter().map(|worker| worker.acknowledged.len()).sum();
    println!("{acknowledged} acknowledged; {survived} unanswered ones came through as well");
    assert!(acknowledged >= rounds * 5);
}
