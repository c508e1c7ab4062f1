//! Attacks with concurrent requests, and with requests that are in progress when their credential
//! is revoked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::accounts::*;
use support::api::{parallel, text};
use support::paths::SECRETS;
use support::process::Connection;
use support::tier;
use support::{Reply, Setup, TestApp};

fn rounds() -> usize {
    tier::rounds(8, 3)
}

fn users(app: &TestApp) -> Vec<Value> {
    app.admin().get(USERS).expect(200)["users"].as_array().unwrap().clone()
}

/// How many replies have each status. Fails if there is any other.
#[track_caller]
fn count(replies: &[Reply], good: u16, refused: (u16, &str)) -> (usize, usize) {
    for reply in replies.iter().filter(|reply| reply.status != good) {
        reply.expect_error(refused.0, refused.1);
    }
    let good = replies.iter().filter(|reply| reply.status == good).count();
    (good, replies.len() - good)
}

#[test]
fn of_many_users_with_one_address_one_is_made() {
    let app = start();
    let spellings = ["ann@example.com", "Ann@example.com", "ANN@EXAMPLE.COM", "ann@EXAMPLE.com"];
    let replies = parallel(16, |number| {
        app.admin().post(USERS, &user_body(spellings[number % 4], "viewer", &everywhere()))
    });
    assert_eq!(count(&replies, 200, (409, "CONFLICT")), (1, 15));
    for reply in replies.iter().filter(|reply| reply.status == 409) {
        assert_eq!(reply.json()["field"], "email");
        assert_eq!(reply.json()["message"], "Email already in use");
    }
    assert_eq!(users(&app).len(), 1);
    assert_eq!(rows(&app, "action=user.create&success=true").len(), 1);
}

#[test]
fn of_many_service_accounts_with_one_name_one_is_made() {
    let app = start();
    let body = with(json!({ "name": "bot" }), &everywhere());
    let replies = parallel(16, |_| app.admin().post(ACCOUNTS, &body));
    assert_eq!(count(&replies, 200, (409, "CONFLICT")), (1, 15));
}

#[test]
fn of_many_who_register_one_wins() {
    for round in 0..4 {
        let app = start();
        let replies = parallel(12, |number| {
            let body = json!({ "email": format!("{number}@example.com"), "password": PASSWORD });
            // Half of them from this machine without a credential, half with the bootstrap token.
            let client = if number % 2 == 0 { app.anonymous() } else { app.admin() };
            client.post(REGISTER, &body)
        });
        assert_eq!(count(&replies, 200, (403, "FORBIDDEN_ROLE")), (1, 11), "round {round}");
        let users = users(&app);
        assert_eq!(users.len(), 1);
        let winner = replies.iter().find(|reply| reply.status == 200).unwrap().json();
        assert_eq!(winner["user"]["id"], users[0]["id"]);
        assert!(works(&app.bearer(text(&winner, "token"))));
        assert_eq!(rows(&app, "action=auth.register&success=true").len(), 1);
    }
}

#[test]
fn a_registration_races_with_the_first_user_and_the_first_secret() {
    for _ in 0..4 {
        let app = start();
        let replies = parallel(8, |number| match number % 2 {
            0 => app.anonymous().post(
                REGISTER,
                &json!({ "email": format!("{number}@example.com"), "password": PASSWORD }),
            ),
            _ => app
                .admin()
                .post(USERS, &user_body(&format!("{number}@example.com"), "viewer", &everywhere())),
        });
        let registered = replies.iter().step_by(2).filter(|reply| reply.status == 200).count();
        assert!(registered <= 1, "{registered} registered");
        assert_eq!(users(&app).len(), 4 + registered);
        let admins = users(&app).iter().filter(|user| user["role"] == "admin").count();
        assert_eq!(admins, registered);
    }
}

/// How many enabled admins with the full scope there are.
fn admins(app: &TestApp) -> usize {
    let whole = |user: &&Value| {
        user["role"] == "admin" && user["allEnvironments"] == true && user["disabled"] == false
    };
    users(app).iter().filter(whole).count()
}

#[test]
fn of_two_admins_who_remove_each_other_one_remains() {
    let app = start();
    let home = app.environment_id("development");
    let ways = [
        None,
        Some(json!({ "disabled": true })),
        Some(json!({ "role": "viewer" })),
        Some(only(&[&home])),
    ];
    for round in 0..rounds() {
        let ann = person(&app, &format!("ann{round}@example.com"), "admin", &everywhere());
        let bob = person(&app, &format!("bob{round}@example.com"), "admin", &everywhere());
        // What the previous round left can be deleted now.
        for user in users(&app) {
            let path = format!("{USERS}/{}", text(&user, "id"));
            if path != ann.path() && path != bob.path() {
                app.admin().delete(&path).expect(200);
            }
        }
        assert_eq!(admins(&app), 2);
        let pair = [&ann, &bob];
        let replies = parallel(2, |number| {
            let (client, other) = (&pair[number].client, pair[1 - number].path());
            match &ways[(round + number * (round / 4)) % 4] {
                None => client.delete(&other),
                Some(patch) => client.patch(&other, patch),
            }
        });
        let done = replies.iter().filter(|reply| reply.status == 200).count();
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            // The second request is too late, or its credential no longer works.
            let code = reply.json()["code"].clone();
            let refusals = ["CONFLICT", "UNAUTHORIZED", "FORBIDDEN_ROLE", "FORBIDDEN_SCOPE"];
            assert!(refusals.iter().any(|one| code == *one), "{}", reply.text());
        }
        assert_eq!((done, admins(&app)), (1, 1), "round {round}");
    }
}

#[test]
fn of_many_admins_who_all_leave_at_once_one_remains() {
    let app = start();
    for round in 0..3 {
        let people: Vec<_> = (0..8)
            .map(|number| {
                person(&app, &format!("{round}-{number}@example.com"), "admin", &everywhere())
            })
            .collect();
        let before = admins(&app);
        let replies = parallel(8, |number| people[number].client.delete(&people[number].path()));
        let (gone, _) = count(&replies, 200, (409, "CONFLICT"));
        assert_eq!(admins(&app), before - gone);
        assert!(admins(&app) >= 1);
        if round == 0 {
            assert_eq!((gone, admins(&app)), (7, 1));
        }
    }
}

/// Sends the head of a request and the beginning of its body, so that a check of the
/// credential at the head has already happened.
fn begin(app: &TestApp, token: &str, path: &str, body: &str) -> (Connection, String) {
    let mut connection = Connection::open(app.address).unwrap();
    let (first, rest) = body.split_at(body.len() / 2);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: coffer\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.send(&head).unwrap();
    // The server sends this once it has read the head and handles the request.
    assert_eq!(connection.line().unwrap(), "HTTP/1.1 100 Continue");
    assert_eq!(connection.line().unwrap(), "");
    connection.send(first).unwrap();
    (connection, rest.to_owned())
}

/// A way to revoke a credential while its request is in progress.
type Ending<'a> = (&'a str, Box<dyn Fn(&TestApp, &Person, &Minted) + 'a>);

#[test]
fn a_request_under_way_when_its_credential_ends_does_nothing() {
    let patch = |app: &TestApp, ann: &Person, patch: Value| {
        app.admin().patch(&ann.path(), &patch).expect(200);
    };
    let endings: Vec<Ending<'_>> = vec![
        (
            "revoked",
            Box::new(|app, ann, minted| {
                app.admin().delete(&ann.sessions()).expect(200);
                app.admin().delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
            }),
        ),
        ("disabled", Box::new(|app, ann, _| patch(app, ann, json!({ "disabled": true })))),
        ("demoted", Box::new(|app, ann, _| patch(app, ann, json!({ "role": "viewer" })))),
        ("deleted", Box::new(|app, ann, _| drop(app.admin().delete(&ann.path()).expect(200)))),
        (
            "given another password",
            Box::new(|app, ann, _| {
                let change = json!({ "newPassword": "another long password" });
                app.admin().post(&ann.change_password(), &change).expect(200);
            }),
        ),
    ];
    let app = start();
    for (number, (what, end)) in endings.iter().enumerate() {
        let ann = person(&app, &format!("ann{number}@example.com"), "operator", &everywhere());
        let minted = token_of(&app, &ann.id, "operator", &everywhere());
        let body = json!({ "key": "LATE", "value": "v" }).to_string();
        let mut under_way: Vec<_> = [&ann.token, &minted.token]
            .iter()
            .map(|token| begin(&app, token, SECRETS, &body))
            .collect();
        end(&app, &ann, &minted);
        for (connection, rest) in &mut under_way {
            connection.send(rest).unwrap();
            let reply = connection.answer().unwrap();
            reply.expect_error(401, "UNAUTHORIZED");
        }
        assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]), "{what}");
    }
}

#[test]
fn a_request_under_way_when_its_scope_is_narrowed_does_nothing() {
    let app = start_in(&["development", "other"]);
    let other = app.environment_id("other");
    let ann = person(&app, "ann@example.com", "operator", &everywhere());
    let body = json!({ "key": "LATE", "value": "v" }).to_string();
    let (mut connection, rest) = begin(&app, &ann.token, SECRETS, &body);
    app.admin().patch(&ann.path(), &only(&[&other])).expect(200);
    connection.send(&rest).unwrap();
    connection.answer().unwrap().expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
}

#[test]
fn nothing_is_written_after_the_answer_that_a_credential_has_ended() {
    // Not at the worst moment, as in the test above, but at many moments.
    let app = start();
    for round in 0..rounds() {
        let minted = mint(&app, "operator", &everywhere(), &json!({}));
        let path = format!("{TOKENS}/{}", minted.id);
        let vars = "/api/environments/development/vars";
        let written = AtomicUsize::new(0);
        let seen = parallel(5, |number| {
            if number == 0 {
                // A different moment in each round.
                while written.load(Ordering::SeqCst) < round {
                    std::thread::yield_now();
                }
                app.admin().delete(&path).expect(200);
                return Some(app.admin().get(vars).expect(200));
            }
            for n in 0.. {
                let key = format!("R{round}_{number}_{n}");
                let reply = minted.client.post(vars, &json!({ "key": key, "value": "v" }));
                if reply.status != 200 {
                    reply.expect_error(401, "UNAUTHORIZED");
                    break;
                }
                written.fetch_add(1, Ordering::SeqCst);
            }
            None
        });
        // Every request has its response. Any login after the revocation was let in too late.
        assert_eq!(Some(app.admin().get(vars).expect(200)), seen[0], "round {round}");
    }
}

#[test]
fn a_login_that_races_with_a_disabling_leaves_no_session() {
    let app = TestApp::start_with(Setup::default().cheap_hashes().any_logins());
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", text(&ann, "id"));
    for round in 0..rounds() {
        app.admin().patch(&path, &json!({ "disabled": false })).expect(200);
        let replies = parallel(6, |number| {
            if number > 0 {
                return try_login(&app.anonymous(), "ann@example.com", PASSWORD);
            }
            std::thread::sleep(Duration::from_millis(3 * round as u64));
            app.admin().patch(&path, &json!({ "disabled": true }))
        });
        replies[0].expect(200);
        for reply in &replies[1..] {
            if reply.status != 200 {
                reply.expect_error(401, "UNAUTHORIZED");
                continue;
            }
            // The password was checked before and the session stored afterwards: a session of a
            // disabled user.
            let token = text(&reply.json(), "token").to_owned();
            assert!(!works(&app.bearer(&token)), "round {round}");
        }
        app.admin().patch(&path, &json!({ "disabled": false })).expect(200);
        let left = app.admin().get(&format!("{path}/sessions")).expect(200);
        assert_eq!(left["sessions"], json!([]), "round {round}");
    }
}

#[test]
fn a_login_with_the_old_password_that_races_with_its_change_leaves_no_session() {
    let app = TestApp::start_with(Setup::default().cheap_hashes().any_logins());
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}/change-password", text(&ann, "id"));
    for round in 0..rounds() {
        let (old, new) = (format!("old password {round}"), format!("new password {round}"));
        app.admin().post(&path, &json!({ "newPassword": old })).expect(200);
        let replies = parallel(6, |number| {
            if number > 0 {
                return try_login(&app.anonymous(), "ann@example.com", &old);
            }
            std::thread::sleep(Duration::from_millis(3 * round as u64));
            app.admin().post(&path, &json!({ "newPassword": new }))
        });
        replies[0].expect(200);
        for reply in replies[1..].iter().filter(|reply| reply.status == 200) {
            let token = text(&reply.json(), "token").to_owned();
            assert!(!works(&app.bearer(&token)), "round {round}");
        }
    }
}

#[test]
fn a_token_minted_while_its_owner_goes_away_does_not_work() {
    let app = start();
    for round in 0..rounds() {
        let ann = new_user(&app, &format!("{round}@example.com"), "operator", &everywhere());
        let path = format!("{USERS}/{}", text(&ann, "id"));
        let body = json!({ "name": "t", "role": "operator", "ownerUserId": ann["id"] });
        let body = with(body, &everywhere());
        let replies = parallel(5, |number| match (number, round % 3) {
            (0, 0) => app.admin().delete(&path),
            (0, 1) => app.admin().patch(&path, &json!({ "disabled": true })),
            (0, _) => app.admin().patch(&path, &json!({ "role": "viewer" })),
            _ => app.admin().post(TOKENS, &body),
        });
        replies[0].expect(200);
        if round % 3 == 1 {
            app.admin().patch(&path, &json!({ "disabled": false })).expect(200);
        }
        for reply in replies[1..].iter().filter(|reply| reply.status == 200) {
            let token = text(&reply.json(), "token").to_owned();
            assert!(!works(&app.bearer(&token)), "round {round}");
        }
    }
}
