//! Secrets of every kind, enough that a rotation takes several writes, and a check that they are
//! unchanged.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::json;

use crate::{Client, api};

/// The values of secrets that can be revealed, by id, and the ids of the others.
pub struct SampleSecrets {
    pub values: BTreeMap<String, String>,
    pub never: Vec<String>,
}

impl SampleSecrets {
    /// Creates this many secrets: every tenth is never-reveal, and some have two versions.
    pub fn of(admin: &Client, count: usize) -> Self {
        let stock = Mutex::new(Self { values: BTreeMap::new(), never: Vec::new() });
        std::thread::scope(|scope| {
            for part in 0..4 {
                let stock = &stock;
                scope.spawn(move || {
                    for number in (part..count).step_by(4) {
                        let (id, value) = Self::put(admin, number);
                        let mut stock = stock.lock().unwrap();
                        match value {
                            Some(value) => drop(stock.values.insert(id, value)),
                            None => stock.never.push(id),
                        }
                    }
                });
            }
        });
        stock.into_inner().unwrap()
    }

    pub fn put(admin: &Client, number: usize) -> (String, Option<String>) {
        let value = format!("value {number}");
        let never = number.is_multiple_of(10);
        let body = json!({ "key": format!("K_{number}"), "value": value, "neverReveal": never });
        let made = admin.post("/api/environments/development/secrets", &body).expect(200);
        let id = made["secret"]["id"].as_str().unwrap().to_owned();
        if !number.is_multiple_of(7) || never {
            return (id, (!never).then_some(value));
        }
        let value = format!("second value {number}");
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        (id, Some(value))
    }

    #[track_caller]
    pub fn holds(&self, admin: &Client) {
        for (id, value) in &self.values {
            assert_eq!(&api::reveal(admin, id), value);
        }
        for id in &self.never {
            let refused = admin.get(&format!("/api/secrets/{id}/value"));
            refused.expect_error(403, "SECRET_WRITE_ONLY");
        }
    }

    /// Checks a few of them, for when checking all would take too long.
    #[track_caller]
    pub fn holds_here_and_there(&self, admin: &Client) {
        for (id, value) in self.values.iter().step_by(self.values.len() / 8 + 1) {
            assert_eq!(&api::reveal(admin, id), value);
        }
    }
}
