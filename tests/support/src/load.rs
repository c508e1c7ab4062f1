//! A mixed load of creates, updates, deletes and reveals, of secrets made write-only, of vars, and
//! of environments created and deleted. Its clients remember every acknowledged change and compare
//! it with what a server reports after it was cut off.
//!
//! Each client has its own keys and environments, so it knows what the server must hold, except for
//! the one request that was cut off. Requests that do not change any of this, such as a rotation or
//! a backup, can be mixed in as [`Step::Beside`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use crate::process::{Server, request};
use crate::rng::Rng;
use crate::{Client, Reply, await_release};

pub const CLIENTS: usize = 4;
const SHARED: &str = "development";

/// A secret or var as its client knows it.
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
    /// By environment and key.
    pub vars: BTreeMap<Place, Known>,
    pub environments: BTreeSet<String>,
    /// The ids of secrets whose values must never be revealed again.
    pub sealed: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Create(Place, String),
    Update(Place, String),
    Delete(Place),
    Reveal(Place),
    /// Makes a secret write-only, permanently.
    Latch(Place),
    /// Creates or changes a var.
    PutVar(Place, String),
    MakeEnvironment(String),
    DropEnvironment(String),
    /// A request that does not affect what the clients know.
    Beside(Beside),
}

/// A request that changes nothing that a [`Model`] holds.
#[derive(Debug, Clone)]
pub struct Beside {
    pub method: &'static str,
    pub path: String,
    pub body: Value,
    /// Other acceptable statuses besides 200. The request then changes nothing at all.
    pub also: &'static [u16],
    /// Whether the response is a file instead of JSON.
    pub is_file: bool,
}

/// The outcomes of the steps that are [`Beside`].
#[derive(Debug, Default)]
pub struct Besides {
    /// The steps that succeeded, with their answers, since the last check.
    pub answered: Vec<(Beside, Value)>,
    /// The last file that arrived complete.
    pub file: Option<Vec<u8>>,
    /// How many files arrived complete.
    pub files: usize,
    /// How many files broke off after their first byte.
    pub halves: usize,
    /// How many steps ended with another acceptable status.
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
            Step::Latch(place) => ("PATCH", id(place), json!({ "neverReveal": true })),
            Step::PutVar(place, value) => match model.vars.get(place) {
                Some(known) => {
                    ("PATCH", format!("/api/vars/{}", known.id), json!({ "value": value }))
                }
                None => {
                    let (environment, key) = place;
                    let path = format!("/api/environments/{environment}/vars");
                    ("POST", path, json!({ "key": key, "value": value }))
                }
            },
            Step::MakeEnvironment(name) => {
                ("POST", "/api/environments".to_owned(), json!({ "name": name }))
            }
            Step::DropEnvironment(name) => {
                ("DELETE", format!("/api/environments/{name}?force=true"), Value::Null)
            }
            Step::Beside(other) => (other.method, other.path.clone(), other.body.clone()),
        }
    }

    /// The kind under which the step is counted.
    fn kind(&self, model: &Model) -> &'static str {
        match self {
            Step::Create(..) => "create",
            Step::Update(place, _) if model.is_sealed(place) => "update what is write-only",
            Step::Update(..) => "update",
            Step::Delete(_) => "delete",
            Step::Reveal(place) if model.is_sealed(place) => "be refused a value",
            Step::Reveal(_) => "reveal",
            Step::Latch(_) => "make write-only",
            Step::PutVar(..) => "put a var",
            Step::MakeEnvironment(_) => "make an environment",
            Step::DropEnvironment(_) => "delete an environment",
            Step::Beside(_) => "something beside",
        }
    }
}

impl Model {
    fn is_sealed(&self, place: &Place) -> bool {
        self.sealed.contains(&self.secrets[place].id)
    }

    /// Forgets what it knew about deleted secrets.
    fn forget_gone(&mut self) {
        let ids: BTreeSet<_> = self.secrets.values().map(|known| &known.id).collect();
        self.sealed.retain(|id| ids.contains(id));
    }

    /// Updates the model after a step. The id of a row that was created without an answer has to be
    /// looked up.
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
                self.forget_gone();
            }
            Step::Latch(place) => {
                self.sealed.insert(self.secrets[&place].id.clone());
            }
            Step::PutVar(place, value) => {
                let new = Known { id: id.to_owned(), value: String::new(), version: 0 };
                let known = self.vars.entry(place).or_insert(new);
                known.value = value;
                known.version += 1;
            }
            Step::Reveal(_) | Step::Beside(_) => {}
            Step::MakeEnvironment(name) => {
                self.environments.insert(name);
            }
            Step::DropEnvironment(name) => {
                self.secrets.retain(|(environment, _), _| *environment != name);
                self.vars.retain(|(environment, _), _| *environment != name);
                self.environments.remove(&name);
                self.forget_gone();
            }
        }
    }
}

/// One of the clients, for all rounds.
pub struct Worker {
    number: usize,
    rng: Rng,
    steps: usize,
    pub model: Model,
    /// Requests to mix in now and then.
    pub beside: Vec<Beside>,
    pub besides: Besides,
    /// The request ids of the steps that succeeded.
    pub acknowledged: Vec<String>,
    /// How many steps of each kind succeeded.
    pub done: BTreeMap<&'static str, usize>,
    /// The step that was cut off.
    pub cut_off: Option<(String, Step)>,
}

impl Worker {
    pub fn new(number: usize, seed: u64) -> Self {
        let rng = Rng(seed ^ (number as u64).wrapping_add(1) << 32);
        let (model, beside, besides, acknowledged, done) = Default::default();
        Self { number, rng, steps: 0, model, beside, besides, acknowledged, done, cut_off: None }
    }

    /// Works until the server is gone, or until it answers with an error and `excused` says that it
    /// may by now. From then on it must: nothing that is sent after the disk has failed can be on
    /// the disk.
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
            let kind = step.kind(&self.model);
            let is_sealed = matches!(&step, Step::Reveal(place) if self.model.is_sealed(place));
            let has_failed = excused();
            let mut came = 0;
            let reply = client.counted(method, text.as_bytes(), &mut came);
            let is_half = reply.is_err() && came > 0;
            let also = if let Step::Beside(beside) = &step { beside.also } else { &[] };
            let wanted = if is_sealed { 403 } else { 200 };
            let good = |reply: &Reply| reply.status == wanted || also.contains(&reply.status);
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
            assert!(!has_failed, "{id}, {step:?}: succeeded although the disk had already failed");
            match &step {
                Step::Beside(beside) => self.besides.take(beside, reply),
                // A refused reveal is in the log, just as a granted one is.
                Step::Reveal(_) if is_sealed => {
                    reply.expect_error(403, "SECRET_WRITE_ONLY");
                }
                step => {
                    let body = reply.expect(200);
                    if let Step::Reveal(place) = step {
                        assert_eq!(body["value"], self.model.secrets[place].value, "{id}");
                    }
                    let made = ["secret", "var"].map(|one| body[one]["id"].as_str());
                    self.model.apply(step, made.into_iter().flatten().next().unwrap_or_default());
                }
            }
            *self.done.entry(kind).or_default() += 1;
            self.acknowledged.push(id);
            // The test may have stopped listening.
            let _ = answered.send(());
        }
    }

    fn choose(&mut self) -> Step {
        let padding = "~".repeat(self.size());
        let value = format!("value {} of {} {padding}", self.steps, self.number);
        let some = self.some_secret();
        match (self.rng.below(24), some) {
            (22.., _) if !self.beside.is_empty() => {
                Step::Beside(self.beside[self.rng.below(self.beside.len())].clone())
            }
            (0, _) => {
                let name = format!("own-{}-{}", self.number, self.rng.below(3));
                if self.model.environments.contains(&name) {
                    Step::DropEnvironment(name)
                } else {
                    Step::MakeEnvironment(name)
                }
            }
            (1..=6, Some(place)) => Step::Update(place, value),
            (7..=10, Some(place)) => Step::Delete(place),
            (11..=13, Some(place)) => Step::Reveal(place),
            (14, Some(place)) if !self.model.is_sealed(&place) => Step::Latch(place),
            (15..=17, _) => {
                let key = format!("VAR_{}_{}", self.number, self.rng.below(3));
                Step::PutVar((self.environment(), key), value)
            }
            _ => self.create(value),
        }
    }

    /// Mostly small values, sometimes one that needs several rows.
    fn size(&mut self) -> usize {
        if self.rng.below(8) == 0 { self.rng.below(60_000) } else { self.rng.below(100) }
    }

    fn some_secret(&mut self) -> Option<Place> {
        let count = self.model.secrets.len();
        (count > 0).then(|| self.model.secrets.keys().nth(self.rng.below(count)).unwrap().clone())
    }

    /// The shared environment, or one of the client's own.
    fn environment(&mut self) -> String {
        let at = self.rng.below(self.model.environments.len() + 2);
        self.model.environments.iter().nth(at).map_or(SHARED, String::as_str).to_owned()
    }

    fn create(&mut self, value: String) -> Step {
        let environment = self.environment();
        let place = |number| (environment.clone(), format!("KEY_{}_{number}", self.number));
        // Reuse keys that were freed.
        let free = (0..).map(place).find(|place| !self.model.secrets.contains_key(place));
        Step::Create(free.unwrap(), value)
    }

    /// Finds out from the audit log what became of the step that was cut off.
    pub fn settle(&mut self, logged: &BTreeMap<String, usize>, admin: &Client) {
        let Some((id, step)) = self.cut_off.take() else { return };
        if !logged.contains_key(&id) {
            return;
        }
        let created = match &step {
            Step::Create(place, _) => find(admin, "secrets", place),
            Step::PutVar(place, _) if !self.model.vars.contains_key(place) => {
                find(admin, "vars", place)
            }
            _ => String::new(),
        };
        self.model.apply(&step, &created);
    }
}

/// `secrets` or `vars`.
fn list(admin: &Client, what: &str, environment: &str) -> Vec<Value> {
    let body = admin.get(&format!("/api/environments/{environment}/{what}")).expect(200);
    body[what].as_array().unwrap().clone()
}

fn find(admin: &Client, what: &str, (environment, key): &Place) -> String {
    let found = list(admin, what, environment).into_iter().find(|one| one["key"] == *key);
    let found = found.unwrap_or_else(|| panic!("the log says that {key} was created"));
    found["id"].as_str().unwrap().to_owned()
}

/// Verifies the chain and the database's rows, then returns how many audit log rows each request id
/// has.
pub fn logged(dir: &Path) -> BTreeMap<String, usize> {
    let data_dir = dir.join("data");
    crate::rows_fit(&data_dir);
    await_release(&data_dir);
    let mut logged = BTreeMap::new();
    let rows = crate::audit_rows(dir);
    await_release(&data_dir);
    for row in rows {
        if let Some(id) = row.draft.request_id {
            // A write-only secret stays write-only, and its refused reveal is also in the log.
            let error = row.draft.error.as_deref();
            assert!(matches!(error, None | Some("SECRET_WRITE_ONLY")), "{id}: {error:?}");
            *logged.entry(id).or_insert(0) += 1;
        }
    }
    logged
}

/// Fails unless the server has exactly what the clients know (every environment, key, version and
/// value) and reveals no write-only value.
pub fn compare(server: &Server, workers: &[Worker]) {
    let admin = server.admin();
    let mut wanted = Model::default();
    wanted.environments.insert(SHARED.to_owned());
    for worker in workers {
        wanted.secrets.extend(worker.model.secrets.clone());
        wanted.vars.extend(worker.model.vars.clone());
        wanted.environments.extend(worker.model.environments.clone());
        wanted.sealed.extend(worker.model.sealed.clone());
    }
    for known in wanted.secrets.values_mut().filter(|one| wanted.sealed.contains(&one.id)) {
        known.value = String::new();
    }
    let body = admin.get("/api/environments").expect(200);
    let names = body["environments"].as_array().unwrap().iter();
    let environments = names.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    let mut found = Model { environments, ..Model::default() };
    let listed = |what| -> Vec<(&String, Value)> {
        let names = found.environments.iter();
        names
            .flat_map(|name| list(&admin, what, name).into_iter().map(move |one| (name, one)))
            .collect()
    };
    let (secrets, vars) = (listed("secrets"), listed("vars"));
    let values = Mutex::new(Model::default());
    std::thread::scope(|scope| {
        for part in secrets.chunks(secrets.len().div_ceil(CLIENTS).max(1)) {
            let (admin, values) = (&admin, &values);
            scope.spawn(move || {
                for (environment, one) in part {
                    let known = known(one, |id| revealed(admin, id, one["neverReveal"] == true));
                    let mut values = values.lock().unwrap();
                    if one["neverReveal"] == true {
                        values.sealed.insert(known.id.clone());
                    }
                    values.secrets.insert(place(environment, one), known);
                }
            });
        }
    });
    Model { secrets: found.secrets, sealed: found.sealed, .. } = values.into_inner().unwrap();
    found.vars = vars
        .iter()
        .map(|(environment, one)| {
            let value = || one["value"].as_str().unwrap().to_owned();
            (place(environment, one), known(one, |_| value()))
        })
        .collect();
    for (wanted, found) in [(&wanted.secrets, &found.secrets), (&wanted.vars, &found.vars)] {
        for (place, known) in wanted {
            assert_eq!(found.get(place), Some(known), "{place:?} is not as acknowledged");
        }
    }
    let keys = |model: &Model| -> BTreeSet<Place> {
        model.secrets.keys().chain(model.vars.keys()).cloned().collect()
    };
    assert_eq!(keys(&found), keys(&wanted), "a deleted row is back, or a change is half done");
    assert_eq!(found.environments, wanted.environments);
    assert_eq!(found.sealed, wanted.sealed, "the write-only secrets");
}

fn place(environment: &str, item: &Value) -> Place {
    (environment.to_owned(), item["key"].as_str().unwrap().to_owned())
}

/// What a list item says, with the value added from elsewhere.
fn known(item: &Value, value: impl FnOnce(&str) -> String) -> Known {
    let id = item["id"].as_str().unwrap();
    Known { id: id.to_owned(), value: value(id), version: item["version"].as_u64().unwrap() }
}

/// Reveals a secret. For a write-only one, checks the refusal and returns an empty string.
fn revealed(admin: &Client, id: &str, is_sealed: bool) -> String {
    let reply = admin.get(&format!("/api/secrets/{id}/value"));
    if is_sealed {
        reply.expect_error(403, "SECRET_WRITE_ONLY");
        return String::new();
    }
    reply.expect(200)["value"].as_str().unwrap().to_owned()
}

/// How many steps of each kind succeeded.
pub fn done(workers: &[Worker]) -> BTreeMap<&'static str, usize> {
    let mut done = BTreeMap::new();
    for (kind, count) in workers.iter().flat_map(|worker| &worker.done) {
        *done.entry(*kind).or_default() += count;
    }
    done
}

/// Fails unless every success is in the log exactly once.
#[track_caller]
pub fn all_logged(workers: &[Worker], logged: &BTreeMap<String, usize>, when: &str) {
    for id in workers.iter().flat_map(|worker| &worker.acknowledged) {
        assert_eq!(logged.get(id), Some(&1), "{when}: rows of {id}");
    }
}
