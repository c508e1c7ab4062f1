//! A mixed load of creates, updates, deletes, reveals and environments made and
//! deleted, by clients that remember what they were told; and the comparison of
//! what they know with what a server says after it was cut off.
//!
//! Each client has keys and environments of its own, so it knows what the
//! server must hold, except for the one request that was cut off. Requests that
//! change none of this, such as a rotation or a backup, can be mixed in as
//! [`Step::Beside`].
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use crate::harness::dice::Dice;
use crate::harness::process::{Server, request};
use crate::harness::{self, Client, Reply, await_release};

pub const CLIENTS: usize = 4;
const SHARED: &str = "development";

/// A secret as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub value: String,
    pub version: u64,
}

pub type Place = (String, String);

/// What a client knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// By environment and key.
    pub secrets: BTreeMap<Place, Known>,
    pub environments: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Create(Place, String),
    Update(Place, String),
    Delete(Place),
    Reveal(Place),
    MakeEnvironment(String),
    DropEnvironment(String),
    /// Something else, of which the clients need to know nothing.
    Beside(Beside),
}

/// A request that changes nothing that a [`Model`] holds.
#[derive(Debug, Clone)]
pub struct Beside {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
    /// Statuses besides 200 that are as good; they change nothing at all.
    pub also: &'static [u16],
    /// Whether what comes is a file and not JSON.
    pub is_file: bool,
}

/// What came of the steps that are [`Beside`].
#[derive(Debug, Default)]
pub struct Besides {
    /// Those that were answered with success, and how, since somebody looked.
    pub answered: Vec<(Beside, Value)>,
    /// The last file that came whole.
    pub file: Option<Vec<u8>>,
    /// How many came whole.
    pub files: usize,
    /// How many broke off behind their first byte.
    pub halves: usize,
    /// How many were answered in another good way.
    pub refused: usize,
}

impl Besides {
    fn take(&mut self, beside: &Beside, reply: Reply) {
        if beside.is_file {
            assert_eq!(reply.status, 200, "{}", reply.text());
            self.file = Some(reply.body);
            self.files += 1;
        } else {
            self.answered.push((beside.clone(), reply.expect(200)));
        }
    }
}

impl Step {
    /// Method, path and body.
    fn request(&self, model: &Model) -> (&'static str, String, Value) {
        let id = |place: &Place| format!("/api/secrets/{}", model.secrets[place].id);
        match self {
            Step::Create((environment, key), value) => {
                let path = format!("/api/environments/{environment}/secrets");
                ("POST", path, json!({ "key": key, "value": value }))
            }
            Step::Update(place, value) => ("PATCH", id(place), json!({ "value": value })),
            Step::Delete(place) => ("DELETE", id(place), Value::Null),
            Step::Reveal(place) => ("GET", format!("{}/value", id(place)), Value::Null),
            Step::MakeEnvironment(name) => {
                ("POST", "/api/environments".to_owned(), json!({ "name": name }))
            }
            Step::DropEnvironment(name) => {
                ("DELETE", format!("/api/environments/{name}?force=true"), Value::Null)
            }
            Step::Beside(other) => (other.method, other.path.clone(), other.body.clone()),
        }
    }
}

impl Model {
    /// What has changed once a step is done. The id of a secret that was
    /// created without an answer has to be looked up.
    fn apply(&mut self, step: &Step, id: &str) {
        match step.clone() {
            Step::Create(place, value) => {
                self.secrets.insert(place, Known { id: id.to_owned(), value, version: 1 });
            }
            Step::Update(place, value) => {
                let known = self.secrets.get_mut(&place).unwrap();
                known.value = value;
                known.version += 1;
            }
            Step::Delete(place) => {
                self.secrets.remove(&place);
            }
            Step::Reveal(_) | Step::Beside(_) => {}
            Step::MakeEnvironment(name) => {
                self.environments.insert(name);
            }
            Step::DropEnvironment(name) => {
                self.secrets.retain(|(environment, _), _| *environment != name);
                self.environments.remove(&name);
            }
        }
    }
}

/// One of the clients, over all rounds.
pub struct Worker {
    number: usize,
    dice: Dice,
    steps: usize,
    pub model: Model,
    /// Mixed in, one of them now and then.
    pub beside: Vec<Beside>,
    pub besides: Besides,
    /// Under which request id a step was answered with success.
    pub acknowledged: Vec<String>,
    /// The step that was cut off.
    pub cut_off: Option<(String, Step)>,
}

impl Worker {
    pub fn new(number: usize, seed: u64) -> Self {
        let dice = Dice(seed ^ (number as u64).wrapping_add(1) << 32);
        let (model, beside, besides, acknowledged) = Default::default();
        Self { number, dice, steps: 0, model, beside, besides, acknowledged, cut_off: None }
    }

    /// Works until the server is gone, or answers with an error and `excused`
    /// says that it may by now.
    pub fn work(
        &mut self,
        server: (std::net::SocketAddr, &str),
        answered: &Sender<()>,
        excused: &dyn Fn() -> bool,
    ) {
        let client = Client::new(server.0, None);
        loop {
            let step = self.choose();
            self.steps += 1;
            let id = format!("client-{}-step-{}", self.number, self.steps);
            let (method, path, body) = step.request(&self.model);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let text = request(server.1, &id, method, &path, &body);
            let mut came = 0;
            let reply = client.counted(method, text.as_bytes(), &mut came);
            let is_half = reply.is_err() && came > 0;
            let also = if let Step::Beside(beside) = &step { beside.also } else { &[] };
            let good = |reply: &Reply| reply.status == 200 || also.contains(&reply.status);
            let Some(reply) = reply.ok().filter(|reply| good(reply) || !excused()) else {
                let is_file = matches!(&step, Step::Beside(Beside { is_file: true, .. }));
                self.besides.halves += usize::from(is_half && is_file);
                self.cut_off = Some((id, step));
                return;
            };
            if also.contains(&reply.status) {
                self.besides.refused += 1;
                continue;
            }
            if let Step::Beside(beside) = &step {
                self.besides.take(beside, reply);
                self.acknowledged.push(id);
                let _ = answered.send(());
                continue;
            }
            let body = reply.expect(200);
            if let Step::Reveal(place) = &step {
                assert_eq!(body["value"], self.model.secrets[place].value, "{id}");
            }
            self.model.apply(&step, body["secret"]["id"].as_str().unwrap_or_default());
            self.acknowledged.push(id);
            // The test may have all the answers that it wants.
            let _ = answered.send(());
        }
    }

    fn choose(&mut self) -> Step {
        let padding = "~".repeat(self.size());
        let value = format!("value {} of {} {padding}", self.steps, self.number);
        let some = self.some_secret();
        match (self.dice.below(20), some) {
            (18.., _) if !self.beside.is_empty() => {
                Step::Beside(self.beside[self.dice.below(self.beside.len())].clone())
            }
            (0, _) => {
                let name = format!("own-{}-{}", self.number, self.dice.below(3));
                if self.model.environments.contains(&name) {
                    Step::DropEnvironment(name)
                } else {
                    Step::MakeEnvironment(name)
                }
            }
            (1..=6, Some(place)) => Step::Update(place, value),
            (7..=10, Some(place)) => Step::Delete(place),
            (11..=13, Some(place)) => Step::Reveal(place),
            _ => self.create(value),
        }
    }

    /// Mostly small, sometimes of several rows.
    fn size(&mut self) -> usize {
        if self.dice.below(8) == 0 { self.dice.below(60_000) } else { self.dice.below(100) }
    }

    fn some_secret(&mut self) -> Option<Place> {
        let count = self.model.secrets.len();
        (count > 0).then(|| self.model.secrets.keys().nth(self.dice.below(count)).unwrap().clone())
    }

    /// In the shared environment or in one of its own.
    fn create(&mut self, value: String) -> Step {
        let at = self.dice.below(self.model.environments.len() + 2);
        let environment = self.model.environments.iter().nth(at).map_or(SHARED, String::as_str);
        let place = |number| (environment.to_owned(), format!("KEY_{}_{number}", self.number));
        // Keys that were freed are used again.
        let free = (0..).map(place).find(|place| !self.model.secrets.contains_key(place));
        Step::Create(free.unwrap(), value)
    }

    /// Decides by the audit log what became of the step that was cut off.
    pub fn settle(&mut self, logged: &BTreeMap<String, usize>, admin: &Client) {
        let Some((id, step)) = self.cut_off.take() else { return };
        if !logged.contains_key(&id) {
            return;
        }
        let created = match &step {
            Step::Create((environment, key), _) => find(admin, environment, key),
            _ => String::new(),
        };
        self.model.apply(&step, &created);
    }
}

fn secrets(admin: &Client, environment: &str) -> Vec<Value> {
    let body = admin.get(&format!("/api/environments/{environment}/secrets")).expect(200);
    body["secrets"].as_array().unwrap().clone()
}

fn find(admin: &Client, environment: &str, key: &str) -> String {
    let found = secrets(admin, environment).into_iter().find(|one| one["key"] == key);
    let found = found.unwrap_or_else(|| panic!("the log says that {key} was created"));
    found["id"].as_str().unwrap().to_owned()
}

/// How many rows the audit log has for each request id; the chain and the rows
/// of the database have been checked.
pub fn logged(dir: &Path) -> BTreeMap<String, usize> {
    let data_dir = dir.join("data");
    harness::rows_fit(&data_dir);
    await_release(&data_dir);
    let mut logged = BTreeMap::new();
    let rows = harness::audit_rows(dir);
    await_release(&data_dir);
    for row in rows {
        if let Some(id) = row.draft.request_id {
            assert_eq!(row.draft.error, None, "{id} was refused");
            *logged.entry(id).or_insert(0) += 1;
        }
    }
    logged
}

/// That the server holds exactly what the clients know: every environment,
/// every key, every version, every value.
pub fn compare(server: &Server, workers: &[Worker]) {
    let admin = server.admin();
    let mut wanted = Model::default();
    wanted.environments.insert(SHARED.to_owned());
    for worker in workers {
        wanted.secrets.extend(worker.model.secrets.clone());
        wanted.environments.extend(worker.model.environments.clone());
    }
    let body = admin.get("/api/environments").expect(200);
    let names = body["environments"].as_array().unwrap().iter();
    let environments = names.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    let mut found = Model { environments, ..Model::default() };
    let listed: Vec<_> =
        found.environments.iter().map(|name| (name, secrets(&admin, name))).collect();
    let listed: Vec<_> =
        listed.iter().flat_map(|(name, list)| list.iter().map(move |one| (*name, one))).collect();
    let values = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for part in listed.chunks(listed.len().div_ceil(CLIENTS).max(1)) {
            let (admin, values) = (&admin, &values);
            scope.spawn(move || {
                for (environment, one) in part {
                    let id = one["id"].as_str().unwrap().to_owned();
                    let body = admin.get(&format!("/api/secrets/{id}/value")).expect(200);
                    let value = body["value"].as_str().unwrap().to_owned();
                    let version = one["version"].as_u64().unwrap();
                    let place = ((*environment).clone(), one["key"].as_str().unwrap().to_owned());
                    values.lock().unwrap().insert(place, Known { id, value, version });
                }
            });
        }
    });
    found.secrets = values.into_inner().unwrap();
    for (place, known) in &wanted.secrets {
        assert_eq!(found.secrets.get(place), Some(known), "{place:?} is not as acknowledged");
    }
    let keys = |model: &Model| model.secrets.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&found), keys(&wanted), "something is back or half done");
    assert_eq!(found.environments, wanted.environments);
}

/// That every success is in the log, once.
#[track_caller]
pub fn all_logged(workers: &[Worker], logged: &BTreeMap<String, usize>, when: &str) {
    for id in workers.iter().flat_map(|worker| &worker.acknowledged) {
        assert_eq!(logged.get(id), Some(&1), "{when}: rows of {id}");
    }
}
