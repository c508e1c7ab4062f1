//! A stopped server whose database can be edited byte by byte.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use coffer::domain::{EnvironmentId, KeyName, SecretId, Version};
use coffer::store::{SecretPlace, SecretPlaces, Secrets};
use serde_json::json;
use tempfile::TempDir;

use crate::stopped::owner_only;
use crate::{Reply, Setup, TestApp};

/// The database of a stopped server, open for tampering.
pub struct Table(sled::Db, PathBuf);

impl Table {
    pub fn open(data_dir: &Path) -> Self {
        crate::await_release(data_dir);
        let config = sled::Config::new().path(data_dir.join("db")).flush_every_ms(None);
        Self(config.open().unwrap(), data_dir.join("db"))
    }

    fn key<T: coffer::store::Table>(key: &T::Key) -> Vec<u8> {
        let mut bytes = vec![T::PREFIX];
        T::encode(key, &mut bytes);
        bytes
    }

    pub fn bytes<T: coffer::store::Table>(&self, key: &T::Key) -> Vec<u8> {
        self.0.get(Self::key::<T>(key)).unwrap().expect("the row exists").to_vec()
    }

    pub fn put_bytes<T: coffer::store::Table>(&self, key: &T::Key, bytes: &[u8]) {
        let old = self.0.insert(Self::key::<T>(key), bytes).unwrap();
        assert_ne!(old.as_deref(), Some(bytes), "this edit would change nothing");
    }

    /// Inserts a row that did not exist.
    pub fn put_bytes_new<T: coffer::store::Table>(&self, key: &T::Key, bytes: &[u8]) {
        assert!(
            self.0.insert(Self::key::<T>(key), bytes).unwrap().is_none(),
            "the row already exists"
        );
    }

    /// Inserts a row under any key, after the table's prefix byte.
    pub fn put_raw<T: coffer::store::Table>(&self, key: &[u8], bytes: &[u8]) {
        self.0.insert([&[T::PREFIX], key].concat(), bytes).unwrap();
    }

    /// The row, as `format byte | postcard`.
    pub fn get<T: coffer::store::Table>(&self, key: &T::Key) -> T::Row {
        let bytes = self.bytes::<T>(key);
        assert_eq!(bytes[0], T::FORMAT);
        postcard::from_bytes(&bytes[1..]).unwrap()
    }

    pub fn put<T: coffer::store::Table>(&self, key: &T::Key, row: &T::Row) {
        let bytes = postcard::to_extend(row, vec![T::FORMAT]).unwrap();
        self.put_bytes::<T>(key, &bytes);
    }

    pub fn remove<T: coffer::store::Table>(&self, key: &T::Key) {
        assert!(self.0.remove(Self::key::<T>(key)).unwrap().is_some(), "the row exists");
    }

    pub fn remove_raw<T: coffer::store::Table>(&self, key: &[u8]) {
        self.0.remove([&[T::PREFIX], key].concat()).unwrap();
    }

    pub fn flush(&self) {
        self.0.flush().unwrap();
    }

    /// The keys of a table, in order.
    pub fn keys<T: coffer::store::Table>(&self) -> Vec<T::Key> {
        let rows = self.0.scan_prefix([T::PREFIX]).keys();
        rows.map(|key| T::decode(&key.unwrap()[1..]).unwrap()).collect()
    }

    /// Every row but those of the audit log.
    pub fn dump(&self) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        let rows = self.0.iter().map(|row| row.unwrap());
        let rows = rows.map(|(key, row)| (key.to_vec(), row.to_vec()));
        rows.filter(|(key, _)| !b"Aab".contains(&key[0])).collect()
    }

    pub fn close(self) {
        self.0.flush().unwrap();
        drop(self.0);
        // sled's threads may still write a snapshot after the handle is gone.
        crate::await_release(self.1.parent().expect("sled's directory is in the data directory"));
        // Opening has created files. Give them the modes that the real binary would have given
        // them.
        owner_only(&self.1);
    }
}

pub fn flip(mut bytes: Vec<u8>, at: usize, bits: u8) -> Vec<u8> {
    bytes[at] ^= bits;
    bytes
}

pub struct Secret {
    pub id: SecretId,
    pub key: String,
    pub value: String,
    pub never: bool,
}

/// The secrets that were stored before the server was stopped.
pub struct TamperedDb {
    dir: RefCell<Option<TempDir>>,
    pub environment: EnvironmentId,
    pub other: EnvironmentId,
    pub secrets: Vec<Secret>,
    fingerprint: String,
}

impl TamperedDb {
    /// Stores some secrets of every kind.
    pub fn new() -> Self {
        Self::with(|app, secrets| {
            for key in ["FIRST", "SECOND", "BYSTANDER"] {
                secrets.push(create(app, key, format!("the value of {key}"), false));
            }
            for number in 1..=6 {
                let value = format!("piece {number} ").repeat(1200);
                secrets.push(create(app, &format!("LONG{number}"), value, false));
            }
            secrets.push(create(app, "NEVER", "never to be seen".to_owned(), true));
            let twice = create(app, "TWICE", "the old value of TWICE".to_owned(), false);
            let put = json!({ "value": "the value of TWICE" });
            app.admin().patch(&format!("/api/secrets/{}", twice.id), &put).expect(200);
            secrets.push(Secret { value: "the value of TWICE".to_owned(), ..twice });
            let latched = create(app, "LATCHED", "latched after it was put".to_owned(), false);
            let latch = json!({ "neverReveal": true });
            app.admin().patch(&format!("/api/secrets/{}", latched.id), &latch).expect(200);
            secrets.push(Secret { never: true, ..latched });
            let var = json!({ "key": "VAR", "value": "a var" });
            let once = app.admin().with("Idempotency-Key", "once");
            once.post("/api/environments/home/vars", &var).expect(200);
        })
    }

    /// Stores many of one kind, `MANY0` onwards, and an unrelated one.
    pub fn with_many(count: usize) -> Self {
        Self::with(|app, secrets| {
            secrets.push(create(app, "BYSTANDER", "the value of BYSTANDER".to_owned(), false));
            for number in 0..count {
                let value = format!("the value of MANY{number:03}");
                secrets.push(create(app, &format!("MANY{number}"), value, false));
            }
        })
    }

    fn with(fill: impl FnOnce(&TestApp, &mut Vec<Secret>)) -> Self {
        let app = TestApp::start_with(Setup::default().environments(&["home", "other"]));
        let environment = app.environment_id("home").parse().unwrap();
        let other = app.environment_id("other").parse().unwrap();
        let mut secrets = Vec::new();
        fill(&app, &mut secrets);
        let dir = app.stop();
        let root_key = crate::data_dir(dir.path()).join("root.key");
        let root_key = std::fs::read_to_string(root_key).unwrap();
        let fingerprint =
            coffer::vault::RootKey::parse(&root_key).unwrap().fingerprint().to_string();
        Self { dir: RefCell::new(Some(dir)), environment, other, secrets, fingerprint }
    }

    /// Changes the stopped server's database.
    pub fn edit(&self, change: impl FnOnce(&Table)) {
        let dir = self.dir.borrow();
        let table = Table::open(&crate::data_dir(dir.as_ref().expect("stopped").path()));
        change(&table);
        table.close();
    }

    /// The stopped server's data directory.
    pub fn data_dir(&self) -> PathBuf {
        crate::data_dir(self.dir.borrow().as_ref().expect("stopped").path())
    }

    /// Starts the server with the damage in place, as if it had happened while the server ran: a
    /// normal start would repair some of it.
    pub fn restart(&self) -> TestApp {
        let mut setup = Setup::default();
        setup.parts.repair_index = false;
        TestApp::start_in(self.dir.take().expect("stopped"), setup)
    }

    /// Starts the server as production does.
    pub fn restart_repairing(&self) -> TestApp {
        TestApp::start_in(self.dir.take().expect("stopped"), Setup::default())
    }

    pub fn stopped_again(&self, app: TestApp) {
        self.dir.replace(Some(app.stop()));
    }

    #[track_caller]
    pub fn secret(&self, key: &str) -> &Secret {
        self.secrets.iter().find(|secret| secret.key == key).expect("a secret of this database")
    }

    pub fn secret_key(&self, key: &str) -> (EnvironmentId, KeyName) {
        (self.environment, KeyName::parse(key).unwrap())
    }

    pub fn version_key(&self, key: &str, version: u32) -> (SecretId, Version) {
        (self.secret(key).id, Version::new(version).unwrap())
    }

    pub fn chunk_key(&self, key: &str, version: u32, chunk: u16) -> (SecretId, Version, u16) {
        (self.secret(key).id, Version::new(version).unwrap(), chunk)
    }

    /// Moves a secret's row and the index entry that points to it.
    pub fn move_row(&self, table: &Table, from: &str, environment: EnvironmentId, key: &str) {
        let key = KeyName::parse(key).unwrap();
        let row = table.get::<Secrets>(&self.secret_key(from));
        table.remove::<Secrets>(&self.secret_key(from));
        table.put::<Secrets>(&(environment, key.clone()), &row);
        table.put::<SecretPlaces>(&row.id, &SecretPlace { environment, key });
    }

    pub fn reveal(&self, app: &TestApp, secret: &Secret) -> Reply {
        let reply = app.admin().get(&format!("/api/secrets/{}/value", secret.id));
        let others = self.secrets.iter().filter(|other| other.id != secret.id || other.never);
        for other in others {
            assert!(
                !reply.text().contains(&other.value),
                "a reveal gave the value of {}",
                other.key
            );
        }
        reply
    }

    pub fn listed(&self, app: &TestApp) -> Vec<String> {
        let list = app.admin().get("/api/environments/home/secrets").expect(200);
        let list = list["secrets"].as_array().unwrap().iter();
        list.map(|secret| secret["key"].as_str().unwrap().to_owned()).collect()
    }

    /// Fails unless these secrets do not open and all others do. Returns the server.
    #[track_caller]
    pub fn assert_unreadable(&self, broken: &[&str]) -> TestApp {
        let app = self.restart();
        for key in broken {
            self.reveal(&app, self.secret(key)).expect_error(500, "SECRET_UNREADABLE");
        }
        self.assert_others_work(&app, broken);
        app
    }

    /// Also fails unless the error names the key under which the secret was sealed.
    #[track_caller]
    pub fn assert_unreadable_with_fingerprint(&self, broken: &[&str]) -> TestApp {
        let app = self.assert_unreadable(broken);
        for key in broken {
            let error = self.reveal(&app, self.secret(key)).json();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&self.fingerprint), "{key}: {message}");
        }
        app
    }

    #[track_caller]
    pub fn assert_others_work(&self, app: &TestApp, broken: &[&str]) {
        let listed = self.listed(app);
        let whole = self.secrets.iter().filter(|secret| !broken.contains(&secret.key.as_str()));
        for secret in whole {
            let moved = !listed.contains(&secret.key);
            assert!(!moved || secret.never, "{} is not listed", secret.key);
            let reply = self.reveal(app, secret);
            if secret.never {
                reply.expect_error(403, "SECRET_WRITE_ONLY");
            } else {
                assert_eq!(reply.expect(200)["value"], secret.value.as_str());
            }
        }
        app.admin().get("/api/environments").expect(200);
    }
}

fn create(app: &TestApp, key: &str, value: String, never: bool) -> Secret {
    let body = json!({ "key": key, "value": value, "neverReveal": never });
    let made = app.admin().post("/api/environments/home/secrets", &body).expect(200);
    let id = made["secret"]["id"].as_str().unwrap().parse().unwrap();
    Secret { id, key: key.to_owned(), value, never }
}
