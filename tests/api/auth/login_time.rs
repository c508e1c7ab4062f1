//! Whether an address belongs to somebody must not be told by the clock. Alone
//! in its process, with the hashes that production has.

use std::time::{Duration, Instant};

use serde_json::json;
use support::accounts::*;
use support::tier;
use support::{Client, Setup, TestApp};

fn sample_count() -> usize {
    tier::rounds(41, 9)
}

/// A busy machine disturbs some attempts; a difference in the code shows in all of them.
const ATTEMPTS: usize = 10;

fn time(client: &Client, email: &str) -> Duration {
    let begin = Instant::now();
    try_login(client, email, WRONG).expect_error(401, "UNAUTHORIZED");
    begin.elapsed()
}

fn median(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples[samples.len() / 2].as_secs_f64()
}

/// Medians of the logins at these addresses, taken in turn.
fn medians(client: &Client, emails: &[&str]) -> Vec<f64> {
    let mut samples = vec![Vec::new(); emails.len()];
    for round in 0..sample_count() {
        for turn in 0..emails.len() {
            // Not always in the same order: what follows what makes a difference.
            let which = (turn + round) % emails.len();
            samples[which].push(time(client, emails[which]));
        }
    }
    samples.into_iter().map(median).collect()
}

#[test]
fn a_wrong_login_takes_as_long_for_an_unknown_address_as_for_a_known_one() {
    let app = TestApp::start_with(Setup::default().any_logins());
    new_user(&app, "known@example.com", "viewer", &everywhere());
    let off = new_user(&app, "disabled@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", off["id"].as_str().unwrap());
    app.admin().patch(&path, &json!({ "disabled": true })).expect(200);
    let emails = ["known@example.com", "unknown@example.com", "disabled@example.com"];
    let client = app.anonymous();
    medians(&client, &emails[..1]);
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let found = medians(&client, &emails);
        let (least, most) = found.iter().fold((f64::MAX, 0.0), |(least, most): (f64, f64), one| {
            (least.min(*one), most.max(*one))
        });
        if most / least < 1.1 {
            return;
        }
        seen.push(found);
    }
    panic!("seconds for {emails:?}: {seen:?}");
}
