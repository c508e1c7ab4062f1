//! The duration of a wrong login must not reveal whether a user has the email address. Runs the
//! real binary with the hash parameters of production.

use std::time::{Duration, Instant};

use serde_json::json;
use support::accounts::{USERS, WRONG, everywhere, try_login, user_body};
use support::process::{Launch, Server};
use support::{Client, tier};

const EMAILS: [&str; 3] = ["known@example.com", "unknown@example.com", "disabled@example.com"];
/// Load on the machine disturbs some attempts; a difference in the code shows in all of them.
const ATTEMPTS: usize = 12;
/// How many times as long as the fastest kind of login the slowest may take.
const MOST_TIMES: f64 = 1.1;

/// How long one login took: wall-clock time and the server's CPU time. The second does not depend
/// on what else the machine does.
struct Sample {
    clock: Duration,
    processor: Option<Duration>,
}

/// The CPU time of all threads of a process, as Linux reports it.
fn processor_time(server: &Server) -> Option<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.running.pid())).ok()?;
    let mut nanos = 0;
    for task in tasks {
        let times = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanos += times.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

fn sample(server: &Server, client: &Client, email: &str) -> Sample {
    let (begin, before) = (Instant::now(), processor_time(server));
    try_login(client, email, WRONG).expect_error(401, "UNAUTHORIZED");
    let clock = begin.elapsed();
    let after = processor_time(server);
    Sample { clock, processor: before.zip(after).and_then(|(b, a)| a.checked_sub(b)) }
}

fn median(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples[samples.len() / 2].as_secs_f64()
}

/// The ratio of the slowest kind to the fastest.
fn times(medians: &[f64]) -> f64 {
    let (least, most) = medians
        .iter()
        .fold((f64::MAX, 0.0), |(least, most): (f64, f64), one| (least.min(*one), most.max(*one)));
    most / least
}

/// The median times of the logins with each email address, sent alternately: wall-clock time, and
/// CPU time where it is known.
fn medians(server: &Server, client: &Client, rounds: usize) -> (Vec<f64>, Option<Vec<f64>>) {
    let mut samples: Vec<Vec<Sample>> = EMAILS.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..EMAILS.len() {
            // Vary the order: the preceding login affects the time.
            let which = (turn + round) % EMAILS.len();
            samples[which].push(sample(server, client, EMAILS[which]));
        }
    }
    let clock = samples.iter().map(|of| median(of.iter().map(|one| one.clock).collect()));
    let processor = samples.iter().map(|of| {
        let known: Vec<_> = of.iter().filter_map(|one| one.processor).collect();
        (!known.is_empty()).then(|| median(known))
    });
    (clock.collect(), processor.collect())
}

#[test]
fn a_wrong_login_takes_as_long_for_an_unknown_address_as_for_a_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data"))
        .variable("COFFER_RATE_LIMIT__LOGIN_FAILURES", "0")
        .variable("COFFER_RATE_LIMIT__ANONYMOUS_PER_MINUTE", "0")
        .start();
    let admin = server.admin();
    let create = |email| admin.post(USERS, &user_body(email, "viewer", &everywhere())).expect(200);
    create(EMAILS[0]);
    let disabled = create(EMAILS[2]);
    let path = format!("{USERS}/{}", disabled["user"]["id"].as_str().unwrap());
    admin.patch(&path, &json!({ "disabled": true })).expect(200);
    let client = Client::new(server.address, None);
    medians(&server, &client, 1);
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let found = medians(&server, &client, tier::rounds(41, 9));
        // The default run ignores wall-clock time: it must also pass on a busy machine.
        let is_even = match &found.1 {
            Some(processor) => {
                times(processor) < MOST_TIMES && (!tier::is_full() || times(&found.0) < MOST_TIMES)
            }
            None => times(&found.0) < MOST_TIMES,
        };
        if is_even {
            return;
        }
        seen.push(found);
    }
    panic!("seconds for {EMAILS:?}, wall-clock time and CPU time: {seen:?}");
}
