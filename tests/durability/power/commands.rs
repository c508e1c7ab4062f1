//! Cuts the power at each step of the commands that create, copy or repair a database, or rewrite
//! the only root key: `compact`, `backup restore`, `backup create`, `doctor --repair`, `key
//! protect`. It also makes their syncs and writes fail at each step. Afterwards the result is
//! complete, or unchanged, or a clear message: never a partial result that looks complete.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coffer::domain::TokenId;
use coffer::store::{OpenError, Opened, Options, Rotation, SecretPlaces, TokenHashes, View};
use coffer::vault::{Passphrase, RootKey, RootKeys, SealedRootKey};
use serde_json::json;
use support::backups::{restore, root_key, sound};
use support::disk::{Disk, Survivors, print_of};
use support::machine::{Machine, gone, machine_or_skip};
use support::process::{Ended, Launch, Server, request};
use support::rng::{Rng, Seed};
use support::tampered_db;
use support::tier;
use support::{api, await_release, data_dir, rows_fit};

/// More steps than any command makes.
const MOST_STEPS: u64 = 1000;
/// The number of steps between two cuts in the default run.
const STRIDE: u64 = 12;
/// The secrets that exist before the command runs.
struct KnownSecrets {
    values: BTreeMap<String, String>,
}

impl KnownSecrets {
    fn of(server: &Server) -> Self {
        let admin = server.admin();
        let mut values = BTreeMap::new();
        for number in 0..6 {
            let value = format!("value {number} {}", "~".repeat(number * 9000));
            let made = api::new_secret(&admin, "development", &format!("KEY_{number}"), &value);
            values.insert(api::text(&made, "id").to_owned(), value);
            // Makes the log longer than its live rows.
            let gone = api::new_secret(&admin, "development", "GONE", &"x".repeat(50_000));
            admin.delete(&format!("/api/secrets/{}", api::text(&gone, "id"))).expect(200);
        }
        Self { values }
    }

    #[track_caller]
    fn is_served_by(&self, server: &Server) {
        let admin = server.admin();
        let list = admin.get("/api/environments/development/secrets").expect(200);
        assert_eq!(list["secrets"].as_array().unwrap().len(), self.values.len());
        for (id, value) in &self.values {
            assert_eq!(&api::reveal(&admin, id), value);
        }
    }
}

/// Returns every row except the audit log and the times when tokens were last used.
fn dump(data_dir: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let table = tampered_db::Table::open(data_dir);
    let mut rows = table.dump();
    rows.retain(|key, _| key[0] != b'L');
    table.close();
    await_release(data_dir);
    rows
}

/// Fails unless a directory has a complete database with these rows, which opens
/// repeatedly and has no leftover files beside it.
#[track_caller]
fn is_whole(data_dir: &Path, root: &RootKey, wanted: &BTreeMap<Vec<u8>, Vec<u8>>, when: &str) {
    for _ in 0..2 {
        let opened = support::open_stopped(data_dir);
        let verified = coffer::vault::verify_audit(&opened, root).unwrap();
        assert_eq!(verified.broken, None, "{when}");
        let findings = coffer::store::check(&opened).unwrap();
        assert!(findings.is_empty(), "{when}: {findings:#?}");
        drop(opened);
        await_release(data_dir);
        let left = coffer::store::leftovers(data_dir).unwrap();
        assert!(left.is_empty(), "{when}: {left:?}");
    }
    assert!(&dump(data_dir) == wanted, "{when}: the rows have changed");
}

/// Fails if the doctor finds an error in a stopped server's directory.
#[track_caller]
fn doctor_finds_no_error(data_dir: &Path, key: &Path, when: &str) {
    let launch = Launch::bare(key.parent().unwrap()).arguments(["doctor", "--data-dir"]);
    let ended = launch.argument(data_dir).variable("COFFER_ROOT_KEY_FILE", key).run("");
    let errors: Vec<_> = ended.stdout.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors.is_empty() && ended.code.is_some_and(|code| code < 2), "{when}: {ended:#?}");
}

/// Creates a stopped server with its root key on another disk.
fn stopped() -> Result<(Machine, KnownSecrets, PathBuf), String> {
    let mut machine = Machine::new()?;
    let server = machine.starts().expect("the server starts while the power is on");
    let known = KnownSecrets::of(&server);
    server.stop();
    await_release(&machine.data_dir());
    let key = machine.elsewhere().join("the.key");
    std::fs::copy(machine.data_dir().join("root.key"), &key).unwrap();
    machine.launch = machine.launch.variable("COFFER_ROOT_KEY_FILE", &key);
    Ok((machine, known, key))
}

macro_rules! stopped_or_skip {
    () => {
        match stopped() {
            Ok(stopped) => stopped,
            Err(reason) => return support::skip(reason),
        }
    };
}

fn compact(machine: &Machine, key: &Path) -> Launch {
    let launch = machine.command(["compact", "--data-dir"]).argument(machine.data_dir());
    launch.variable("COFFER_ROOT_KEY_FILE", key)
}

#[test]
fn a_compaction_is_cut_off_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, known, key) = stopped_or_skip!();
    let root = root_key(&machine.data_dir());
    let wanted = dump(machine.copy().path().join("data").as_path());
    let before = machine.disk.fork();
    let mut looks = 0;
    for steps in tier::steps(MOST_STEPS, STRIDE, &mut rng) {
        machine.disk.become_like(&before);
        machine.disk.cut_after(steps);
        let ended = machine.runs(&compact(&machine, &key));
        let is_done = !machine.disk.is_off();
        for survivors in Survivors::LOTS {
            let when = format!("step {steps}, {survivors:?}");
            let copy = machine.disk.left(survivors, &mut rng);
            is_whole(&data_dir(copy.path()), &root, &wanted, &when);
            looks += 1;
        }
        machine.disk.restore(Survivors::any(&mut rng), &mut rng);
        let when = format!("step {steps}");
        doctor_finds_no_error(&machine.data_dir(), &key, &when);
        let server = machine.starts().expect("the server starts after the power cut");
        known.is_served_by(&server);
        gone(server);
        if is_done {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
            assert!(steps > 20, "a compaction makes only {steps} steps");
            println!("{steps} steps of a compaction, {looks} results of a cut examined");
            return;
        }
    }
    panic!("the compaction makes more than {MOST_STEPS} steps");
}

/// Returns the number of each segment in the log from its header, or 0 for a segment without one.
fn segments(data_dir: &Path) -> Vec<u64> {
    let log = std::fs::read(data_dir.join("db/db")).unwrap();
    let header = |segment: &[u8]| u64::from_le_bytes(segment[4..12].try_into().unwrap());
    let place = |header| if header == 0 { 0 } else { header ^ (u64::MAX >> 1) };
    log.chunks(512 << 10).map(|segment| place(header(segment)) / (512 << 10)).collect()
}

/// Returns whether sled overwrites a segment when it opens the log. The two newest segments, which
/// sled looks for, and the last one in the file, which it truncates and syncs, do not count.
fn an_opening_frees_some(machine: &Machine) -> bool {
    let copy = machine.copy();
    let data_dir = data_dir(copy.path());
    let before = segments(&data_dir);
    drop(support::open_stopped(&data_dir));
    await_release(&data_dir);
    let after = segments(&data_dir);
    let (newest, last) = (before.iter().max().unwrap(), before.last());
    let frees = before.iter().zip(&after).any(|(before, after)| *before > 0 && *after == 0);
    frees && after.last() == last && after.contains(&(newest - 1))
}

/// When sled opens its log, it overwrites unused segments with zeros, and syncs neither them nor
/// the name of the snapshot that records this. The marker that exists meanwhile used to be removed
/// before they were on the disk. Half a segment then looked like damage, and an intact log could
/// not be opened.
#[test]
fn segments_that_an_opening_frees_are_no_hole_after_a_power_cut() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, _known, key) = stopped_or_skip!();
    for round in 0.. {
        if an_opening_frees_some(&machine) {
            break;
        }
        assert!(round < 40, "no segment was freed");
        let server = machine.starts().expect("the server starts while the power is on");
        for number in 0..12 {
            let (admin, key) = (server.admin(), format!("GONE_{round}_{number}"));
            let made = api::new_secret(&admin, "development", &key, &"x".repeat(50_000));
            admin.delete(&format!("/api/secrets/{}", api::text(&made, "id"))).expect(200);
        }
        server.stop();
        await_release(&machine.data_dir());
    }
    let root = root_key(&machine.data_dir());
    let wanted = dump(machine.copy().path().join("data").as_path());
    let command = machine.command(["doctor", "--data-dir"]).argument(machine.data_dir());
    let command = command.variable("COFFER_ROOT_KEY_FILE", &key);
    let before = machine.disk.fork();
    for steps in tier::steps(MOST_STEPS, STRIDE, &mut rng) {
        machine.disk.become_like(&before);
        machine.disk.cut_after(steps);
        machine.runs(&command);
        for survivors in Survivors::LOTS {
            let copy = machine.disk.left(survivors, &mut rng);
            let when = format!("step {steps}, {survivors:?}");
            is_whole(&data_dir(copy.path()), &root, &wanted, &when);
        }
        if !machine.disk.is_off() {
            println!("{steps} steps of an opening");
            assert!(steps > 5);
            return;
        }
    }
    panic!("opening makes more than {MOST_STEPS} steps");
}

/// The number of power cuts while the root key changes.
fn change_cuts() -> usize {
    tier::rounds(24, 9)
}

/// The root key changes through a rotation that the start begins. The power is cut during that
/// rotation and during a further one.
#[test]
fn a_change_of_the_root_key_is_cut_off_again_and_again() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let mut machine = machine_or_skip!();
    machine.launch = machine.launch.variable("COFFER_LIMITS__VERSIONS_KEPT", "1000");
    let server = machine.starts().expect("the server starts while the power is on");
    let text = request(&server.token(), "rotate", "POST", "/api/admin/keys/rotate", "");
    let mut known = KnownSecrets::of(&server);
    api::parallel(6, |number| {
        let (id, _) = known.values.iter().nth(number).unwrap();
        for version in 0..100 {
            let value = json!({ "value": format!("version {version} of {number}") });
            server.admin().patch(&format!("/api/secrets/{id}"), &value).expect(200);
        }
    });
    for (number, value) in known.values.values_mut().enumerate() {
        *value = format!("version 99 of {number}");
    }
    server.stop();
    await_release(&machine.data_dir());
    let mut old = std::fs::read_to_string(machine.data_dir().join("root.key")).unwrap();
    let (mut changing, mut in_the_middle, mut rotating) = (0, 0, 0);
    // Repeats as often as necessary; on a slow machine few cuts fall between two keys.
    let (changes, cuts) = tier::rounds((3, 2), (1, 0));
    while changing < changes || (in_the_middle < cuts && changing < 12) {
        let new = RootKey::generate(coffer::vault::Random).unwrap().to_text().to_string();
        let both = machine.launch.clone().variable("COFFER_ROOT_KEY", &new);
        let both = both.variable("COFFER_PREVIOUS_ROOT_KEY", old.trim());
        let parsed = [&new, &old].map(|text| RootKey::parse(text).unwrap());
        let roots = RootKeys { current: &parsed[0], previous: Some(&parsed[1]) };
        for round in 0..change_cuts() / 3 {
            machine.disk.cut_after(10 + rng.below(if round % 2 == 0 { 30 } else { 80 }) as u64);
            if let Some(server) = machine.starts_as(&both) {
                // A second rotation waits for the first one, and then runs as well.
                let client = support::Client::new(server.address, None);
                while client.try_raw("POST", text.as_bytes()).is_ok() && !machine.disk.is_off() {}
                gone(server);
            }
            if !machine.disk.is_off() {
                machine.disk.spare();
            }
            let survivors = Survivors::any(&mut rng);
            machine.disk.restore(survivors, &mut rng);
            let copy = machine.copy();
            let opened = support::open_stopped(&data_dir(copy.path()));
            let verified = coffer::vault::verify_audit(&opened, roots).unwrap();
            assert_eq!(verified.broken, None, "{survivors:?}");
            assert_eq!(coffer::store::check(&opened).unwrap(), Vec::<String>::new());
            if let Some(row) = opened.get::<Rotation>(&()).unwrap() {
                let open = row.finished_at.is_none();
                rotating += usize::from(open);
                let begun = coffer::vault::verify_audit(&opened, roots.current).is_err();
                in_the_middle += usize::from(open && begun);
            }
            drop(opened);
            await_release(&data_dir(copy.path()));
        }
        let server = machine.starts_as(&both).expect("the server starts with both root keys");
        let status = api::rotated(&server.admin());
        assert_eq!((&status["rotation"]["left"], &status["unopened"]), (&json!(0), &json!([])));
        known.is_served_by(&server);
        for key in status["keys"].as_array().unwrap() {
            if key["state"] == "retiring" {
                let path = format!("/api/admin/keys/{}", key["id"]);
                server.admin().delete(&path).expect(200);
            }
        }
        server.stop();
        let only_new = machine.launch.clone().variable("COFFER_ROOT_KEY", &new);
        let server =
            machine.starts_as(&only_new).expect("the server starts with the new root key alone");
        known.is_served_by(&server);
        server.stop();
        await_release(&machine.data_dir());
        old = new;
        changing += 1;
    }
    println!("{rotating} cuts while rotating, {in_the_middle} of them with two root keys");
    assert!(rotating >= tier::rounds(change_cuts() / 4, 0) && in_the_middle >= cuts);
}

/// Checks what a restore left: everything, or nothing that opens and a clear message. In the second
/// case the restore then succeeds. Returns whether everything was there.
#[track_caller]
fn is_restored_or_can_be(
    data_dir: &Path,
    (file, root): (&[u8], &RootKey),
    wanted: &BTreeMap<Vec<u8>, Vec<u8>>,
    when: &str,
) -> bool {
    let is_there = data_dir.join("db").exists();
    if !is_there {
        if data_dir.join("restoring/db").exists() {
            let refused = Opened::open(data_dir, Options::default());
            assert!(matches!(refused, Err(OpenError::Restoring { .. })), "{when}");
        }
        restore(file, root, data_dir).unwrap_or_else(|error| panic!("{when}: {error}"));
        await_release(data_dir);
    }
    is_whole(data_dir, root, wanted, when);
    is_there
}

#[test]
fn a_restore_is_cut_off_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (source, known, key) = stopped_or_skip!();
    let token = source.data_dir().join("bootstrap-token");
    let (root, token) = (root_key(&source.data_dir()), std::fs::read(token).unwrap());
    let wanted = dump(source.copy().path().join("data").as_path());
    let path = source.elsewhere().join("a.backup");
    let create = source.command(["backup", "create", "--offline"]).argument(&path);
    let made = create.argument("--data-dir").argument(source.data_dir()).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    let file = std::fs::read(&path).unwrap();
    let mut machine = machine_or_skip!();
    machine.launch = machine.launch.variable("COFFER_ROOT_KEY_FILE", &key);
    let command = machine.command(["backup", "restore"]).argument(&path).argument("--data-dir");
    let command = command.argument(machine.data_dir()).variable("COFFER_ROOT_KEY_FILE", &key);
    let before = machine.disk.fork();
    let (mut refused, mut whole) = (0, 0);
    for steps in tier::steps(MOST_STEPS, STRIDE, &mut rng) {
        machine.disk.become_like(&before);
        machine.disk.cut_after(steps);
        let ended = machine.runs(&command);
        let is_done = !machine.disk.is_off();
        for survivors in Survivors::LOTS {
            let when = format!("step {steps}, {survivors:?}");
            let copy = machine.disk.left(survivors, &mut rng);
            let is_there =
                is_restored_or_can_be(&data_dir(copy.path()), (&file, &root), &wanted, &when);
            // The command may have failed before the power cut, with a message.
            let is_sure = ended.code == Some(0);
            assert!(is_there || !is_sure, "{when}: the restore reported success but is incomplete");
            whole += usize::from(is_there);
        }
        machine.disk.restore(Survivors::any(&mut rng), &mut rng);
        let when = format!("step {steps}");
        let has = |name: &str| machine.data_dir().join(name).exists();
        if !has("db") {
            if has("restoring/db") {
                let ended = machine.launch.fails();
                assert!(ended.stderr.contains("a restore into"), "{when}: {ended:#?}");
                assert!(ended.stderr.contains("Run it again"), "{when}: {ended:#?}");
                refused += 1;
            }
            let again = machine.runs(&command);
            assert_eq!(again.code, Some(0), "{when}: {again:#?}");
        }
        doctor_finds_no_error(&machine.data_dir(), &key, &when);
        std::fs::write(machine.data_dir().join("bootstrap-token"), &token).unwrap();
        let server = machine.starts().expect("the server starts after the power cut");
        known.is_served_by(&server);
        gone(server);
        if is_done {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
            println!("{steps} steps of a restore; {whole} complete, {refused} refused by a server");
            assert!(steps > 20 && whole >= tier::rounds(7, 1) && refused >= tier::rounds(6, 0));
            return;
        }
    }
    panic!("the restore makes more than {MOST_STEPS} steps");
}

#[test]
fn a_backup_on_the_same_disk_is_cut_off_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, _known, key) = stopped_or_skip!();
    let root = root_key(&machine.data_dir());
    let wanted = dump(machine.copy().path().join("data").as_path());
    let command = machine.command(["backup", "create", "--offline"]);
    let command = command.argument(machine.path("a.backup")).argument("--data-dir");
    let command = command.argument(machine.data_dir()).variable("COFFER_ROOT_KEY_FILE", &key);
    let before = machine.disk.fork();
    for steps in tier::steps(MOST_STEPS, STRIDE, &mut rng) {
        machine.disk.become_like(&before);
        machine.disk.cut_after(steps);
        let ended = machine.runs(&command);
        for survivors in Survivors::LOTS {
            let when = format!("step {steps}, {survivors:?}");
            let copy = machine.disk.left(survivors, &mut rng);
            let file = std::fs::read(copy.path().join("a.backup"));
            assert!(file.is_ok() || ended.code != Some(0), "{when}: {ended:#?}");
            if let Ok(file) = file {
                sound(&file, &root);
            }
            is_whole(&data_dir(copy.path()), &root, &wanted, &when);
        }
        if !machine.disk.is_off() {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
            println!("{steps} steps of a backup");
            assert!(steps > 10);
            return;
        }
    }
    panic!("the backup makes more than {MOST_STEPS} steps");
}

const PASSPHRASE: &str = "seven lamps over the harbor";

/// Returns the fingerprint of the root key in the text of a file, and whether it is protected.
/// Opening a protected key is slow, so results are cached in `opened`.
fn key_in(text: &str, opened: &mut BTreeMap<String, String>) -> (String, bool) {
    if !SealedRootKey::looks_like(text) {
        return (RootKey::parse(text).unwrap().fingerprint().to_string(), false);
    }
    let fingerprint = opened.entry(text.to_owned()).or_insert_with(|| {
        let passphrase = Passphrase::given(PASSPHRASE.to_owned().into());
        let key = SealedRootKey::parse(text).unwrap().open(&passphrase).unwrap();
        key.fingerprint().to_string()
    });
    (fingerprint.clone(), true)
}

/// The file may be the only copy of the key, so it must always hold the same key, protected or not.
#[test]
fn a_root_key_that_is_protected_or_laid_bare_is_there_after_each_step() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, known, _key) = stopped_or_skip!();
    let fingerprint = root_key(&machine.data_dir()).fingerprint().to_string();
    let file = machine.data_dir().join("root.key");
    let passphrase = machine.elsewhere().join("passphrase");
    coffer::store::write_private(&passphrase, PASSPHRASE).unwrap();
    let given = |launch: Launch| launch.variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase);
    let protect = given(machine.command(["key", "protect"]).argument(&file));
    let serve = given(Launch::on(&machine.data_dir()));
    let (mut opened, mut served) = (BTreeMap::new(), BTreeSet::new());
    for (command, will_be_protected) in
        [(&protect, true), (&protect.clone().argument("--remove"), false)]
    {
        let before = machine.disk.fork();
        for steps in tier::steps(MOST_STEPS, 3, &mut rng) {
            machine.disk.become_like(&before);
            machine.disk.cut_after(steps);
            let ended = machine.runs(command);
            let is_done = !machine.disk.is_off();
            for survivors in Survivors::LOTS {
                let when = format!("protect: {will_be_protected}, step {steps}, {survivors:?}");
                let copy = machine.disk.left(survivors, &mut rng);
                let text = std::fs::read_to_string(data_dir(copy.path()).join("root.key"));
                let (found, is_protected) = key_in(&text.expect(&when), &mut opened);
                assert_eq!(found, fingerprint, "{when}");
                let is_new = is_protected == will_be_protected;
                assert!(
                    is_new || ended.code != Some(0),
                    "{when}: the command reported success but changed nothing"
                );
            }
            machine.disk.restore(Survivors::any(&mut rng), &mut rng);
            // Serves once with each form of the file; the key is the same.
            let text = std::fs::read_to_string(&file).unwrap();
            if served.insert((will_be_protected, SealedRootKey::looks_like(&text))) {
                let server =
                    machine.starts_as(&serve).expect("the server starts after the power cut");
                known.is_served_by(&server);
                gone(server);
            }
            if is_done {
                assert_eq!(ended.code, Some(0), "{ended:#?}");
                assert!(steps > 3, "the command makes only {steps} steps");
                println!("protect: {will_be_protected}: {steps} steps");
                break;
            }
        }
    }
    // Both kinds of file, after both commands.
    assert!(served.len() >= tier::rounds(4, 2), "{served:?}");
}

/// Damages an index, and adds a row that belongs to no token.
fn damage(data_dir: &Path, secret: &str) {
    let table = tampered_db::Table::open(data_dir);
    table.remove::<SecretPlaces>(&secret.parse().unwrap());
    let nobody = postcard::to_extend(&TokenId::from_bytes([5; 16]), vec![1]).unwrap();
    table.put_bytes_new::<TokenHashes>(&[5; 32], &nobody);
    table.close();
    await_release(data_dir);
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows of a database while it is damaged and after its repair.
struct Repair {
    root: RootKey,
    damaged: Rows,
    whole: Rows,
    /// Results by fingerprint of the directory: whether it is repaired.
    seen: BTreeMap<u64, bool>,
}

impl Repair {
    /// Fails unless a directory opens, its audit log is intact, and its rows are those
    /// before or after the repair. Returns whether it is repaired.
    #[track_caller]
    fn is_done(&mut self, data_dir: &Path, when: &str) -> bool {
        let print = print_of(data_dir);
        if let Some(done) = self.seen.get(&print) {
            return *done;
        }
        let opened = support::open_stopped(data_dir);
        let verified = coffer::vault::verify_audit(&opened, &self.root).unwrap();
        assert_eq!(verified.broken, None, "{when}");
        let done = coffer::store::check(&opened).unwrap().is_empty();
        drop(opened);
        await_release(data_dir);
        let wanted = if done { &self.whole } else { &self.damaged };
        assert!(&dump(data_dir) == wanted, "{when}: neither the old rows nor the new ones");
        self.seen.insert(print, done);
        done
    }
}

/// A repair is complete or absent, never happens without the copy, and can simply be run again.
#[test]
fn a_repair_is_cut_off_at_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, known, key) = stopped_or_skip!();
    let root = root_key(&machine.data_dir());
    let rows = || dump(machine.copy().path().join("data").as_path());
    let whole = rows();
    damage(&machine.data_dir(), known.values.keys().next().unwrap());
    let doctor = machine.command(["doctor", "--data-dir"]).argument(machine.data_dir());
    let doctor = doctor.variable("COFFER_ROOT_KEY_FILE", &key);
    // The doctor opens the database, which writes the damage to the disk.
    assert_eq!(doctor.run("").code, Some(2));
    let damaged = rows();
    assert_ne!(damaged, whole);
    let mut repair = Repair { root, damaged, whole, seen: BTreeMap::new() };
    let command = doctor.argument("--repair");
    let is_well = |ended: &Ended| ended.code.is_some_and(|code| code < 2);
    let before = machine.disk.fork();
    let (mut steps, mut looks, mut copied, mut repaired) = (0, 0, 0, 0);
    loop {
        machine.disk.become_like(&before);
        machine.disk.cut_after(steps);
        let ended = machine.runs(&command);
        let is_over = !machine.disk.is_off();
        for survivors in Survivors::LOTS {
            let when = format!("step {steps}, {survivors:?}: {ended:#?}");
            let copy = machine.disk.left(survivors, &mut rng);
            let aside = copy.path().join("data.before-repair.1");
            let has_copy = aside.exists();
            assert!(
                !has_copy || !repair.is_done(&aside, &when),
                "{when}: the copy is not of the damaged database"
            );
            let is_done = repair.is_done(&data_dir(copy.path()), &when);
            assert!(
                is_done || !is_well(&ended),
                "{when}: the doctor reported a repair that is not there"
            );
            assert!(has_copy || !is_done, "{when}: repaired without a copy");
            looks += 1;
            copied += usize::from(has_copy);
            repaired += usize::from(is_done);
        }
        machine.disk.restore(Survivors::any(&mut rng), &mut rng);
        let again = machine.runs(&command);
        assert!(is_well(&again), "step {steps}: {again:#?}");
        let copy = machine.copy();
        assert!(repair.is_done(&data_dir(copy.path()), &format!("step {steps}, again")));
        if is_over {
            assert!(is_well(&ended), "{ended:#?}");
            break;
        }
        // Most steps only copy; running all of them would take a minute.
        steps += 1 + rng.below(tier::rounds(3, 30)) as u64;
    }
    println!("{steps} steps, {looks} looks: {copied} times a copy, {repaired} times repaired");
    assert!(steps > 20 && repaired >= Survivors::LOTS.len() && copied > repaired);
}

/// What fails on a disk that still has power.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Syncs,
    NoSpace,
}

/// Makes the disk fail at each step of a command. The command must exit by itself, with success
/// only if it hit no failure.
fn meet(machine: &Machine, before: &Disk, command: &Launch, mut look: impl FnMut(&Ended, &str)) {
    let mut rng = Rng(Seed::of_this_run().0);
    for trouble in [Trouble::Syncs, Trouble::NoSpace] {
        for good in tier::steps(u64::MAX, 6, &mut rng) {
            machine.disk.become_like(before);
            match trouble {
                Trouble::Syncs => machine.disk.fail_syncs_after(good),
                Trouble::NoSpace => machine.disk.fill_after(good),
            }
            let ended = command.run("");
            let has_failed = machine.disk.has_failed();
            machine.disk.mend();
            let when = format!("{trouble:?} after {good}: {ended:#?}");
            assert!(ended.code.is_some_and(|code| code != 101), "{when}");
            look(&ended, &when);
            if !has_failed {
                assert_eq!(ended.code, Some(0), "{when}");
                assert!(good > 2, "{when}");
                println!("{trouble:?}: {good}");
                break;
            }
        }
    }
}

#[test]
fn a_compaction_meets_a_disk_that_fails_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (machine, _known, key) = stopped_or_skip!();
    let root = root_key(&machine.data_dir());
    let wanted = dump(machine.copy().path().join("data").as_path());
    let before = machine.disk.fork();
    meet(&machine, &before, &compact(&machine, &key), |ended, when| {
        if ended.code != Some(0) {
            assert!(ended.stderr.contains("coffer: "), "{when}");
        }
        // The disk works again, with and without a power cut.
        let copy = machine.disk.left(Survivors::any(&mut rng), &mut rng);
        is_whole(&data_dir(copy.path()), &root, &wanted, when);
        is_whole(&machine.data_dir(), &root, &wanted, when);
        let copy = machine.disk.left(Survivors::Nothing, &mut rng);
        is_whole(&data_dir(copy.path()), &root, &wanted, when);
    });
}

#[test]
fn a_restore_meets_a_disk_that_fails_at_each_of_its_steps() {
    let seed = Seed::of_this_run();
    let mut rng = Rng(seed.0);
    let (source, _known, key) = stopped_or_skip!();
    let root = root_key(&source.data_dir());
    let wanted = dump(source.copy().path().join("data").as_path());
    let path = source.elsewhere().join("a.backup");
    let create = source.command(["backup", "create", "--offline"]).argument(&path);
    let made = create.argument("--data-dir").argument(source.data_dir()).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    let file = std::fs::read(&path).unwrap();
    let machine = machine_or_skip!();
    let command = machine.command(["backup", "restore"]).argument(&path).argument("--data-dir");
    let command = command.argument(machine.data_dir()).variable("COFFER_ROOT_KEY_FILE", &key);
    let before = machine.disk.fork();
    meet(&machine, &before, &command, |ended, when| {
        let copy = machine.disk.left(Survivors::Nothing, &mut rng);
        let (to, what) = (data_dir(copy.path()), (&file[..], &root));
        let is_there = is_restored_or_can_be(&to, what, &wanted, when);
        assert!(
            is_there || ended.code != Some(0),
            "{when}: the restore reported success but is incomplete"
        );
        is_restored_or_can_be(&machine.data_dir(), what, &wanted, when);
        let copy = machine.disk.left(Survivors::Nothing, &mut rng);
        is_whole(&data_dir(copy.path()), &root, &wanted, when);
        rows_fit(&machine.data_dir());
        await_release(&machine.data_dir());
    });
}
