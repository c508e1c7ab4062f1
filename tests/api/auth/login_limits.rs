//! Every route that checks a password slows down after five failures, both per account and per
//! client address.

use coffer::domain::Network;
use serde_json::{Value, json};
use support::accounts::*;
use support::api::{parallel, text};
use support::{Client, Reply, Setup, TestApp};

const ANN: &str = "ann@example.com";
const HOUR_SECONDS: i64 = 60 * 60;

/// A server behind a proxy, so that a test can use many client addresses.
fn setup() -> Setup {
    let mut setup = Setup::default().cheap_hashes().with_test_clock();
    setup.config.server.trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
    setup
}

fn start() -> TestApp {
    let app = TestApp::start_with(setup());
    new_user(&app, ANN, "viewer", &everywhere());
    app
}

/// A client at this address.
fn at(app: &TestApp, address: &str) -> Client {
    app.anonymous().with("X-Forwarded-For", address)
}

/// A client at the address with this number.
fn from(app: &TestApp, number: usize) -> Client {
    at(app, &format!("198.51.{}.{}", number / 250, number % 250 + 1))
}

fn fail(client: &Client, email: &str) -> u16 {
    let reply = try_login(client, email, WRONG);
    assert!([401, 429].contains(&reply.status), "{}", reply.text());
    reply.status
}

/// Sends this many wrong logins. Each must be answered without a delay.
#[track_caller]
fn fail_times(client: &Client, email: &str, times: usize) {
    let found: Vec<_> = (0..times).map(|_| fail(client, email)).collect();
    assert_eq!(found, vec![401; times], "{email}");
}

/// The seconds to wait; fails unless the request came too soon.
#[track_caller]
fn wait_of(reply: &Reply) -> i64 {
    reply.expect_error(429, "RATE_LIMITED");
    let number = |name: &str| -> i64 {
        let value = reply.header(name).unwrap_or_else(|| panic!("no {name}"));
        value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
    };
    assert!(number("x-ratelimit-limit") >= 0);
    assert_eq!(number("x-ratelimit-remaining"), 0);
    assert!(number("x-ratelimit-reset") > 0);
    number("retry-after")
}

#[test]
fn the_sixth_attempt_at_an_account_has_to_wait_even_with_the_right_password() {
    let app = start();
    for number in 0..5 {
        fail_times(&from(&app, number), ANN, 1);
    }
    assert_eq!(wait_of(&try_login(&from(&app, 5), ANN, WRONG)), 1);
    // Otherwise an attacker would learn at once that the guess was right.
    assert_eq!(wait_of(&try_login(&from(&app, 6), ANN, PASSWORD)), 1);
    new_user(&app, "bob@example.com", "viewer", &everywhere());
    try_login(&from(&app, 0), "bob@example.com", PASSWORD).expect(200);
    advance_seconds(&app, 1);
    try_login(&from(&app, 7), ANN, PASSWORD).expect(200);
}

#[test]
fn the_wait_doubles_with_each_failure_up_to_a_minute_for_an_account() {
    let app = start();
    for number in 0..4 {
        fail_times(&from(&app, number), ANN, 1);
    }
    for (number, seconds) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        fail_times(&from(&app, 10 + number), ANN, 1);
        let clock = app.clock.clone().unwrap();
        assert_eq!(wait_of(&try_login(&from(&app, 30), ANN, WRONG)), seconds);
        clock.advance_millis(seconds * 1000 - 1);
        assert_eq!(wait_of(&try_login(&from(&app, 31), ANN, WRONG)), 1, "of {seconds}");
        clock.advance_millis(1);
    }
    try_login(&from(&app, 40), ANN, PASSWORD).expect(200);
}

#[test]
fn the_wait_doubles_with_each_failure_up_to_a_quarter_of_an_hour_for_an_address() {
    let app = start();
    let client = from(&app, 0);
    // Each login uses its own account, so that no account is slowed down.
    let mut accounts = (0..).map(|number| format!("{number}@example.com"));
    let mut next = move || accounts.next().unwrap();
    for _ in 0..4 {
        fail_times(&client, &next(), 1);
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        fail_times(&client, &next(), 1);
        assert_eq!(wait_of(&try_login(&client, &next(), WRONG)), seconds);
        assert_eq!(wait_of(&try_login(&client, ANN, PASSWORD)), seconds);
        advance_seconds(&app, seconds);
    }
    advance_seconds(&app, 1);
    try_login(&from(&app, 1), ANN, PASSWORD).expect(200);
    try_login(&client, ANN, PASSWORD).expect(200);
}

#[test]
fn an_attempt_that_comes_too_soon_does_not_prolong_the_wait() {
    let app = start();
    for number in 0..5 {
        fail_times(&from(&app, number), ANN, 1);
    }
    for number in 0..50 {
        assert_eq!(wait_of(&try_login(&from(&app, 100 + number), ANN, WRONG)), 1);
    }
    advance_seconds(&app, 1);
    try_login(&from(&app, 100), ANN, PASSWORD).expect(200);
}

#[test]
fn an_account_that_does_not_exist_is_slowed_down_the_same() {
    let app = start();
    let series = |email: &str, base: usize| -> Vec<_> {
        (0..7).map(|n| visible(&try_login(&from(&app, base + n), email, WRONG))).collect()
    };
    let (known, unknown) = (series(ANN, 0), series("nobody@example.com", 20));
    assert_eq!(known, unknown);
    assert_eq!(known.iter().filter(|answer| answer.0 == 429).count(), 2);
}

#[test]
fn a_success_forgets_the_failures_of_the_account() {
    let app = start();
    for round in 0..3 {
        for number in 0..4 {
            fail_times(&from(&app, 10 * round + number), ANN, 1);
        }
        try_login(&from(&app, 10 * round + 5), ANN, PASSWORD).expect(200);
    }
}

#[test]
fn a_success_does_not_forget_the_failures_of_the_address() {
    let app = start();
    let client = from(&app, 0);
    for number in 0..5 {
        // A success on one account must not reset the failures of the address: an attacker with an
        // account could then go on forever.
        fail_times(&client, &format!("{number}@example.com"), 1);
        if number < 4 {
            try_login(&client, ANN, PASSWORD).expect(200);
        }
    }
    assert_eq!(wait_of(&try_login(&client, ANN, PASSWORD)), 1);
    try_login(&from(&app, 1), ANN, PASSWORD).expect(200);
}

#[test]
fn failures_are_forgotten_after_an_hour() {
    let app = start();
    let client = from(&app, 0);
    fail_times(&client, ANN, 4);
    advance_seconds(&app, HOUR_SECONDS + 1);
    fail_times(&client, ANN, 4);
    try_login(&client, ANN, PASSWORD).expect(200);
}

#[test]
fn a_network_of_version_6_is_one_client_and_a_mapped_address_is_its_own() {
    let app = start();
    for number in 0..5 {
        let client = at(&app, &format!("2001:db8:0:1::{number:x}"));
        fail_times(&client, &format!("{number}@example.com"), 1);
    }
    wait_of(&try_login(&at(&app, "2001:db8:0:1:ffff::1"), ANN, PASSWORD));
    try_login(&at(&app, "2001:db8:0:2::1"), ANN, PASSWORD).expect(200);
    for number in 5..10 {
        let client = at(&app, ["::ffff:203.0.113.7", "203.0.113.7"][number % 2]);
        fail_times(&client, &format!("{number}@example.com"), 1);
    }
    wait_of(&try_login(&at(&app, "203.0.113.7"), ANN, PASSWORD));
    try_login(&at(&app, "203.0.113.8"), ANN, PASSWORD).expect(200);
}

#[test]
fn the_case_of_the_address_makes_no_other_account() {
    let app = start();
    for (number, email) in
        [ANN, "Ann@Example.com", "ANN@EXAMPLE.COM", "aNN@example.com", "ann@EXAMPLE.com"]
            .iter()
            .enumerate()
    {
        fail_times(&from(&app, number), email, 1);
    }
    wait_of(&try_login(&from(&app, 9), "anN@example.com", PASSWORD));
    wait_of(&try_login(&from(&app, 10), ANN, PASSWORD));
}

fn change(client: &Client, path: &str, current: &str) -> Reply {
    client.post(path, &json!({ "currentPassword": current, "newPassword": "another long one" }))
}

#[test]
fn a_wrong_present_password_counts_as_a_failed_login() {
    let app = start();
    let bob = person(&app, "bob@example.com", "viewer", &everywhere());
    let path = bob.change_password();
    let client =
        |number: usize| bob.client.with("X-Forwarded-For", &format!("203.0.113.{}", number + 1));
    for number in 0..5 {
        let error = change(&client(number), &path, WRONG).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], "currentPassword");
    }
    assert_eq!(wait_of(&change(&client(5), &path, WRONG)), 1);
    assert_eq!(wait_of(&change(&client(6), &path, PASSWORD)), 1);
    // Failed logins and failed password changes count against the same account.
    assert_eq!(wait_of(&try_login(&from(&app, 0), "BOB@example.com", PASSWORD)), 1);
    assert!(works(&bob.client), "only password checks may be delayed");
    advance_seconds(&app, 1);
    fail_times(&from(&app, 1), "bob@example.com", 1);
    assert_eq!(wait_of(&change(&client(7), &path, PASSWORD)), 2);
    advance_seconds(&app, 2);
    change(&client(8), &path, PASSWORD).expect(200);
    try_login(&from(&app, 2), "bob@example.com", "another long one").expect(200);
}

#[test]
fn a_wrong_present_password_counts_against_the_address() {
    let app = start();
    let bob = person(&app, "bob@example.com", "viewer", &everywhere());
    let client = bob.client.with("X-Forwarded-For", "203.0.113.1");
    for _ in 0..5 {
        change(&client, &bob.change_password(), WRONG).expect_error(400, "VALIDATION_ERROR");
    }
    wait_of(&try_login(&at(&app, "203.0.113.1"), ANN, PASSWORD));
}

#[test]
fn an_admin_who_changes_anothers_password_checks_none_and_waits_for_none() {
    let app = start();
    for number in 0..5 {
        fail_times(&from(&app, number), ANN, 1);
    }
    let listed = app.admin().get(USERS).expect(200);
    let path = format!("{USERS}/{}/change-password", text(&listed["users"][0], "id"));
    for _ in 0..8 {
        let body = json!({ "newPassword": PASSWORD });
        app.admin().post(&path, &body).expect(200);
    }
}

#[test]
fn zero_switches_it_off() {
    let app = TestApp::start_with(setup().any_logins());
    new_user(&app, ANN, "viewer", &everywhere());
    fail_times(&from(&app, 0), ANN, 20);
    try_login(&from(&app, 0), ANN, PASSWORD).expect(200);
}

#[test]
fn the_number_of_failures_is_that_of_the_configuration() {
    let mut setup = setup();
    setup.config.rate_limit.login_failures = 2;
    let app = TestApp::start_with(setup);
    fail_times(&from(&app, 0), ANN, 2);
    assert_eq!(wait_of(&try_login(&from(&app, 1), ANN, WRONG)), 1);
}

/// How many of many concurrent wrong logins were let through.
fn let_through(clients: &[Client], emails: &[String]) -> usize {
    let replies = parallel(50, |number| {
        let (client, email) = (&clients[number % clients.len()], &emails[number % emails.len()]);
        try_login(client, email, WRONG)
    });
    let wrong = replies.iter().filter(|reply| reply.status == 401).count();
    for reply in replies.iter().filter(|reply| reply.status != 401) {
        assert!(wait_of(reply) >= 1);
    }
    wrong
}

#[test]
fn of_fifty_at_the_same_time_no_more_than_a_handful_are_let_through() {
    let app = start();
    let addresses: Vec<_> = (0..50).map(|number| from(&app, number)).collect();
    let many: Vec<_> = (0..50).map(|number| format!("{number}@example.com")).collect();
    let one_account = let_through(&addresses, &[ANN.to_owned()]);
    assert!((1..=6).contains(&one_account), "{one_account} attempts passed for one account");
    let one_address = let_through(&[from(&app, 200)], &many);
    assert!((1..=6).contains(&one_address), "{one_address} attempts passed from one address");
}

#[test]
fn what_a_client_says_about_its_address_changes_nothing() {
    let app = TestApp::start_with(Setup::default().cheap_hashes().with_test_clock());
    new_user(&app, ANN, "viewer", &everywhere());
    let spoofed = |number: usize| {
        let address = format!("203.0.113.{}", number + 1);
        app.anonymous()
            .with("X-Forwarded-For", &address)
            .with("Forwarded", &format!("for={address}"))
            .with("X-Real-IP", &address)
    };
    for number in 0..5 {
        fail_times(&spoofed(number), &format!("{number}@example.com"), 1);
    }
    assert_eq!(wait_of(&try_login(&spoofed(9), ANN, PASSWORD)), 1);
    assert_eq!(wait_of(&try_login(&app.anonymous(), ANN, PASSWORD)), 1);
}

#[test]
fn behind_a_trusted_proxy_what_the_client_wrote_itself_changes_nothing() {
    let app = start();
    for number in 0..5 {
        let chain = format!("203.0.113.{number}, 198.51.100.77");
        fail_times(&at(&app, &chain), &format!("{number}@example.com"), 1);
    }
    assert_eq!(wait_of(&try_login(&at(&app, "8.8.8.8, 198.51.100.77"), ANN, PASSWORD)), 1);
    try_login(&at(&app, "198.51.100.77, 198.51.100.78"), ANN, PASSWORD).expect(200);
}

#[test]
fn a_malformed_login_is_no_failure() {
    // The form of the request is checked before anything is counted.
    let app = start();
    let client = from(&app, 0);
    for body in [json!({}), json!({ "email": 7, "password": WRONG }), Value::Null] {
        for _ in 0..8 {
            client.post(LOGIN, &body).expect_error(400, "VALIDATION_ERROR");
        }
    }
    try_login(&client, ANN, PASSWORD).expect(200);
}
