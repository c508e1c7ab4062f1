//! `coffer doctor --repair`, and what a start repairs by itself. Each kind of damage is found and
//! repaired, and nothing else changes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coffer::audit::Action;
use coffer::domain::{Clock, KeyName, SecretId, SystemClock, Timestamp, TokenId, VarId, Version};
use coffer::store::{
    AuditRows, Counts, CountsRow, EnvironmentNames, Environments, IdempotencyChunks,
    IdempotencyRecords, IdempotencyRow, IdempotencyTimes, LastUses, SecretPlace, SecretPlaces,
    Secrets, Table as _, TokenHashes, Tokens, Used, ValueChunks, VarChunks, Versions,
};
use support::doctor;
use support::doctor::{Checkup, Diagnosis};
use support::process::{Ended, Launch};
use support::tampered_db::{Table, TamperedDb, flip};
use support::{Setup, TestApp, data_dir, expect_log, skip};

/// One kind of damage: how to cause it, what the doctor reports, and what the repair reports.
struct Damage {
    name: &'static str,
    make: fn(&TamperedDb, &Table),
    found: &'static str,
    repaired: &'static str,
}

fn unknown_secret() -> SecretId {
    SecretId::from_bytes([9; 16])
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "a secret's place is missing",
        make: |tampered, table| table.remove::<SecretPlaces>(&tampered.secret("FIRST").id),
        found: "cannot be found by its id",
        repaired: "was missing and has been restored",
    },
    Damage {
        name: "a secret's place is damaged",
        make: |tampered, table| {
            let id = tampered.secret("FIRST").id;
            let mut bytes = table.bytes::<SecretPlaces>(&id);
            bytes.pop();
            table.put_bytes::<SecretPlaces>(&id, &bytes);
        },
        found: "a row of table 's' is damaged",
        repaired: "was wrong and has been restored",
    },
    Damage {
        name: "a secret's place leads to another one",
        make: |tampered, table| {
            let key = KeyName::parse("SECOND").unwrap();
            let place = SecretPlace { environment: tampered.environment, key };
            table.put::<SecretPlaces>(&tampered.secret("FIRST").id, &place);
        },
        found: "points to no row",
        repaired: "was wrong and has been restored",
    },
    Damage {
        name: "a place leads to nothing",
        make: |tampered, table| {
            let key = KeyName::parse("NOTHING").unwrap();
            let place = SecretPlace { environment: tampered.environment, key };
            let bytes = postcard::to_extend(&place, vec![1]).unwrap();
            table.put_bytes_new::<SecretPlaces>(&unknown_secret(), &bytes);
        },
        found: "points to no row",
        repaired: "pointed to nothing",
    },
    Damage {
        name: "an environment's name is missing",
        make: |_, table| table.remove::<EnvironmentNames>(&"home".to_owned()),
        found: "cannot be found by its name",
        repaired: "was missing and has been restored",
    },
    Damage {
        name: "a count is wrong",
        make: |tampered, table| {
            table.put::<Counts>(&tampered.environment, &CountsRow { secrets: 1, vars: 77 });
        },
        found: "is recorded as holding",
        repaired: "recounted",
    },
    Damage {
        name: "a token's hash is missing",
        make: |_, table| table.remove::<TokenHashes>(&a_token(table).1),
        found: "cannot be found by its hash",
        repaired: "was missing and has been restored",
    },
    Damage {
        name: "a hash leads to no token",
        make: |_, table| {
            let bytes = postcard::to_extend(&TokenId::from_bytes([5; 16]), vec![1]).unwrap();
            table.put_bytes_new::<TokenHashes>(&[5; 32], &bytes);
        },
        found: "a hash points to",
        repaired: "pointed to nothing",
    },
    Damage {
        name: "a last use is left over",
        make: |_, table| {
            let used = Used::Token(TokenId::from_bytes([5; 16]));
            let bytes = postcard::to_extend(&Timestamp::from_millis(5), vec![1]).unwrap();
            table.put_bytes_new::<LastUses>(&used, &bytes);
        },
        found: "the last use of",
        repaired: "was left over",
    },
    Damage {
        name: "a version belongs to nothing",
        make: |tampered, table| {
            let (from, to) = (tampered.version_key("FIRST", 1), (unknown_secret(), Version::FIRST));
            table.put_bytes_new::<Versions>(&to, &table.bytes::<Versions>(&from));
            let piece = table.bytes::<ValueChunks>(&(from.0, from.1, 0));
            table.put_bytes_new::<ValueChunks>(&(to.0, to.1, 0), &piece);
        },
        found: "is left over",
        repaired: "belonged to no secret",
    },
    Damage {
        name: "a piece of a value is left over",
        make: |tampered, table| {
            let piece = table.bytes::<ValueChunks>(&tampered.chunk_key("FIRST", 1, 0));
            table.put_bytes_new::<ValueChunks>(&tampered.chunk_key("FIRST", 1, 7), &piece);
        },
        found: "chunk 7 of version 1",
        repaired: "chunk 7 of version 1",
    },
    Damage {
        name: "a piece of a var is left over",
        make: |_, table| {
            let key = (VarId::from_bytes([4; 16]), Version::FIRST, 0);
            let bytes = postcard::to_extend(&b"x".to_vec(), vec![1]).unwrap();
            table.put_bytes_new::<VarChunks>(&key, &bytes);
        },
        found: "is left over",
        repaired: "was left over",
    },
    Damage {
        name: "the time of a kept answer is missing",
        make: |_, table| table.remove::<IdempotencyTimes>(&table.keys::<IdempotencyTimes>()[0]),
        found: "cannot be found by its time",
        repaired: "was missing and has been restored",
    },
    Damage {
        name: "a time leads to no kept answer",
        make: |_, table| {
            let key = (Timestamp::from_millis(5), [5; 32]);
            table.put_bytes_new::<IdempotencyTimes>(&key, &[1]);
        },
        found: "a time points to idempotency record 05050505",
        repaired: "pointed to nothing",
    },
    Damage {
        name: "a piece of a kept answer is left over",
        make: |_, table| {
            let bytes = postcard::to_extend(&b"x".to_vec(), vec![1]).unwrap();
            table.put_bytes_new::<IdempotencyChunks>(&([5; 32], 3), &bytes);
        },
        found: "chunk 3 of idempotency record 05050505 is left over",
        repaired: "chunk 3 of idempotency record 05050505 was left over",
    },
    Damage {
        name: "a damaged answer is kept under a key",
        make: |_, table| table.put_bytes_new::<IdempotencyRecords>(&[5; 32], b"x"),
        found: "a row of table 'I' is damaged",
        repaired: "idempotency record 05050505 was damaged; its request can be sent again",
    },
];

/// Returns any token with its hash.
fn a_token(table: &Table) -> (TokenId, [u8; 32]) {
    let key = table.dump().into_keys().find(|key| key[0] == b'T').unwrap();
    let id = TokenId::from_bytes(key[1..].try_into().unwrap());
    (id, table.get::<Tokens>(&id).hash)
}

fn dump(data_dir: &Path) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let table = Table::open(data_dir);
    let rows = table.dump();
    table.close();
    rows
}

#[test]
fn each_damage_is_found_repaired_and_gone_and_nothing_else_has_changed() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    checkup.doctor().healthy();
    let whole = dump(&checkup.data_dir);
    for Damage { name, make, found, repaired } in DAMAGES {
        tampered.edit(|table| make(&tampered, table));
        assert_ne!(dump(&checkup.data_dir), whole, "{name}");
        checkup.doctor().is(2).says("error", [found, "--repair"]);
        let repair = checkup.repair();
        repair.healthy().says("repaired", [repaired]).says("ok", ["copied the data directory to"]);
        assert_eq!(dump(&checkup.data_dir), whole, "{name}");
        checkup.doctor().healthy();
    }
    assert_eq!(checkup.copies().len(), DAMAGES.len());
    std::fs::copy(&checkup.key, checkup.data_dir.join("root.key")).unwrap();
    let rows = support::audit_rows(checkup.data_dir.parent().unwrap());
    let repairs = rows.iter().filter(|row| row.draft.action == Action::ServerRepair);
    assert_eq!(repairs.count(), DAMAGES.len(), "each repair is in the audit log exactly once");
}

/// Data that cannot be derived from other rows is reported and left unchanged.
#[test]
fn what_is_the_only_copy_stays() {
    type Edit = fn(&TamperedDb, &Table);
    let cases: [(&str, &str, Edit); 6] = [
        ("does not open", "version 1 of", |tampered, table| {
            let key = tampered.chunk_key("FIRST", 1, 0);
            let bytes = table.bytes::<ValueChunks>(&key);
            table.put_bytes::<ValueChunks>(&key, &flip(bytes, 9, 1));
        }),
        ("points to no row", "sec_", |tampered, table| {
            table.remove::<Secrets>(&tampered.secret_key("FIRST"));
            let counts = table.get::<Counts>(&tampered.environment);
            let counts = CountsRow { secrets: counts.secrets - 1, ..counts };
            table.put::<Counts>(&tampered.environment, &counts);
        }),
        ("a row of table 'S' is damaged", "", |tampered, table| {
            let mut bytes = table.bytes::<Secrets>(&tampered.secret_key("FIRST"));
            bytes.pop();
            table.put_bytes::<Secrets>(&tampered.secret_key("FIRST"), &bytes);
        }),
        ("sealed for another reveal mode", "version 1 of", |tampered, table| {
            let mut row = table.get::<Secrets>(&tampered.secret_key("NEVER"));
            row.mode = coffer::domain::RevealMode::Revealable;
            table.put::<Secrets>(&tampered.secret_key("NEVER"), &row);
        }),
        ("the value of var_", "is damaged", |_, table| {
            let key = table.keys::<VarChunks>()[0];
            let bytes = table.bytes::<VarChunks>(&key);
            table.put_bytes::<VarChunks>(&key, &bytes[..1]);
        }),
        // The value is not valid UTF-8 any more, but the row still decodes.
        ("the value of var_", "is damaged", |_, table| {
            let key = table.keys::<VarChunks>()[0];
            let bytes = table.bytes::<VarChunks>(&key);
            let last = bytes.len() - 1;
            table.put_bytes::<VarChunks>(&key, &flip(bytes, last, 0x80));
        }),
    ];
    for (found, also, edit) in cases {
        let tampered = TamperedDb::new();
        let checkup = Checkup::new(&tampered.data_dir());
        tampered.edit(|table| edit(&tampered, table));
        let before = dump(&checkup.data_dir);
        checkup.doctor().is(2).says("error", [found, also]);
        let repair = checkup.repair();
        repair.is(2).says("error", [found, also]);
        assert_eq!(repair.lines("repaired").len(), 0, "{repair:#?}");
        assert_eq!(dump(&checkup.data_dir), before, "{found}");
        for secret in &tampered.secrets {
            repair.ended.keeps_quiet_about(&secret.value);
        }
    }
}

/// The doctor suggests setting a new value, so that must work.
#[test]
fn a_damaged_var_is_well_again_with_a_new_value() {
    expect_log("INTERNAL: a stored var is damaged");
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let mut id = None;
    tampered.edit(|table| {
        let key = table.keys::<VarChunks>()[0];
        table.put_bytes::<VarChunks>(&key, b"x");
        id = Some(key.0);
    });
    let id = id.unwrap();
    let found = checkup.doctor();
    found.is(2).says("error", [&format!("the value of {id} is damaged"), "or var a new value"]);
    std::fs::copy(&checkup.key, checkup.data_dir.join("root.key")).unwrap();
    let app = tampered.restart_repairing();
    app.admin().get(&format!("/api/vars/{id}")).expect_error(500, "INTERNAL");
    let new = serde_json::json!({ "value": "a new value" });
    app.admin().patch(&format!("/api/vars/{id}"), &new).expect(200);
    tampered.stopped_again(app);
    std::fs::remove_file(checkup.data_dir.join("root.key")).unwrap();
    checkup.doctor().healthy();
}

/// A kept answer with a missing chunk would otherwise cause 500 for a day.
#[test]
fn a_request_whose_kept_answer_was_damaged_can_be_sent_again_after_a_repair() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| table.remove::<IdempotencyChunks>(&table.keys::<IdempotencyChunks>()[0]));
    checkup.doctor().is(2).says("error", ["idempotency record ", "is missing chunk 0", "--repair"]);
    let repair = checkup.repair();
    repair.healthy().says("repaired", ["was damaged; its request can be sent again"]);
    checkup.doctor().healthy();
    std::fs::copy(&checkup.key, checkup.data_dir.join("root.key")).unwrap();
    let app = tampered.restart_repairing();
    let once = app.admin().with("Idempotency-Key", "once");
    let again = serde_json::json!({ "key": "VAR", "value": "a var" });
    once.post("/api/environments/home/vars", &again).expect_error(409, "CONFLICT");
    tampered.stopped_again(app);
}

/// An invalid row used to block every request with an `Idempotency-Key`.
#[test]
fn what_is_no_time_of_a_kept_answer_keeps_nobody_from_being_answered() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| {
        table.put_raw::<IdempotencyTimes>(b"no time", b"x");
        let [key] = table.keys::<IdempotencyRecords>()[..] else {
            panic!("exactly one answer is kept")
        };
        table.put_raw::<IdempotencyChunks>(&[&key[..], b"no piece"].concat(), b"x");
    });
    checkup.doctor().is(2).says("error", ["a row of table 'J' is damaged", "--repair"]);
    std::fs::copy(&checkup.key, checkup.data_dir.join("root.key")).unwrap();
    let app = tampered.restart_repairing();
    let once = app.admin().with("Idempotency-Key", "another");
    let var = serde_json::json!({ "key": "OTHER", "value": "b" });
    once.post("/api/environments/home/vars", &var).expect(200);
    let first = app.admin().with("Idempotency-Key", "once");
    let again = serde_json::json!({ "key": "VAR", "value": "a var" });
    let replayed = first.post("/api/environments/home/vars", &again);
    replayed.expect(200);
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    tampered.stopped_again(app);
    std::fs::remove_file(checkup.data_dir.join("root.key")).unwrap();
    checkup.repair().says("repaired", ["table 'J' had an invalid key"]);
    checkup.doctor().is(0);
}

/// A repair must not guess which of two rows an entry belongs to.
#[test]
fn an_entry_that_two_rows_want_is_given_to_neither() {
    for is_there in [true, false] {
        let tampered = TamperedDb::new();
        let checkup = Checkup::new(&tampered.data_dir());
        let home = "home".to_owned();
        tampered.edit(|table| {
            let row = table.get::<Environments>(&tampered.environment);
            table.put::<Environments>(&tampered.other, &row);
            if !is_there {
                table.remove::<EnvironmentNames>(&home);
            }
        });
        checkup.doctor().is(2).says("error", ["cannot be found by its name"]);
        let repair = checkup.repair();
        repair.is(2).says("error", ["cannot be found by its name", "Restore a backup"]);
        repair.one("repaired", ["pointed to nothing"]);
        tampered.edit(|table| {
            let expected = if is_there { vec![home.clone()] } else { vec![] };
            assert_eq!(table.keys::<EnvironmentNames>(), expected);
            if is_there {
                assert_eq!(table.get::<EnvironmentNames>(&home), tampered.environment);
            }
        });
    }
}

#[test]
fn the_audit_log_is_never_repaired() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let edited = |table: &Table| flip(table.bytes::<AuditRows>(&3), 40, 1);
    tampered.edit(|table| table.put_bytes::<AuditRows>(&3, &edited(table)));
    checkup
        .doctor()
        .is(2)
        .one("error", ["the audit log does not verify", "row 3", "It cannot be repaired"]);
    checkup.repair().is(2).one("error", ["the audit log does not verify", "row 3"]);
    tampered.edit(|table| assert_eq!(edited(table), flip(table.bytes::<AuditRows>(&3), 40, 1)));
}

#[test]
fn the_copy_is_what_was_there_before_for_its_owner_only() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| table.remove::<SecretPlaces>(&tampered.secret("FIRST").id));
    let before = std::fs::read(checkup.data_dir.join("db/db")).unwrap();
    checkup.repair().healthy();
    checkup.repair().healthy();
    let copies = checkup.copies();
    assert_eq!(copies.len(), 2);
    assert_eq!(std::fs::read(copies[0].join("db/db")).unwrap(), before);
    for name in ["", "db", "db/db", "lock", "last-backup"] {
        let metadata = copies[0].join(name).metadata().unwrap();
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o7777, wanted, "{name}");
    }
    // The copy is a data directory like any other.
    let mut copy = checkup;
    copy.data_dir.clone_from(&copies[0]);
    copy.doctor().is(2).says("error", ["cannot be found by its id"]);
}

/// In the usual layout root owns the parent directory, so the server's user cannot write there.
#[test]
fn the_copy_can_be_put_elsewhere_and_not_into_itself() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| table.remove::<SecretPlaces>(&tampered.secret("FIRST").id));
    let repair = |into: &Path| {
        let launch = checkup.launch(["doctor", "--repair"]).argument("--copy-to").argument(into);
        launch.run("")
    };
    repair(&checkup.data_dir.join("db"))
        .refuses(2, ["inside the directory to copy", "Nothing was repaired"]);
    repair(&checkup.outside().join("nowhere")).refuses(2, ["nowhere", "--copy-to"]);
    let into = tempfile::tempdir().unwrap();
    Diagnosis::of(repair(into.path())).healthy().says("repaired", ["has been restored"]);
    assert!(into.path().join("data.before-repair.1/db/db").exists());
    assert_eq!(checkup.copies().len(), 0);
}

/// The link itself used to be copied, and its target was then repaired without a copy.
#[test]
fn a_database_behind_a_link_is_copied_and_other_links_are_refused() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| table.remove::<SecretPlaces>(&tampered.secret("FIRST").id));
    support::await_release(&checkup.data_dir);
    let db = checkup.data_dir.join("db");
    let elsewhere = checkup.outside().join("elsewhere");
    std::fs::rename(&db, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &db).unwrap();
    let before = std::fs::read(db.join("db")).unwrap();
    let other = checkup.data_dir.join("other");
    std::os::unix::fs::symlink(checkup.outside(), &other).unwrap();
    let launch = checkup.launch(["doctor", "--repair"]);
    launch.run("").refuses(2, ["other is a symbolic link to a directory"]);
    assert_eq!(std::fs::read(db.join("db")).unwrap(), before);
    std::fs::remove_file(&other).unwrap();
    checkup.repair().healthy().says("repaired", ["has been restored"]);
    let copy = checkup.copies()[0].join("db");
    assert!(!copy.is_symlink());
    assert_eq!(std::fs::read(copy.join("db")).unwrap(), before);
}

/// The free space used to be checked on the disk of the data, although the copy goes elsewhere.
#[test]
fn the_space_for_the_copy_is_checked_where_the_copy_is_made() {
    const MOUNT: &str = "mount -t tmpfs -o size=60m,mode=700 tmpfs \"$1\" && shift && \"$@\"; \
         code=$?; ls \"$DIR\"; exit $code";
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let small = tempfile::tempdir().unwrap();
    let wrapper = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh"];
    let wrapper = wrapper.iter().map(Path::new).chain([small.path()]);
    let launch = checkup.launch(["doctor", "--repair"]).argument("--copy-to");
    let launch = launch.argument(small.path()).variable("DIR", small.path()).under(wrapper);
    let ended = launch.run("");
    if ended.stderr.contains("unshare:") || ended.stderr.contains("mount:") {
        return skip(format!("no file system can be mounted here: {}", ended.stderr.trim()));
    }
    ended.refuses(2, ["not enough disk space", "needs", "are free", "--copy-to"]);
}

/// A repair would help an attacker who changed rows while the server was stopped.
#[test]
fn where_the_audit_log_does_not_hold_a_start_repairs_nothing() {
    expect_log("not repairing the index, because the audit log does not verify");
    expect_log("the audit log does not verify");
    let tampered = TamperedDb::new();
    tampered.edit(|table| {
        table.remove::<SecretPlaces>(&tampered.secret("FIRST").id);
        let edited = flip(table.bytes::<AuditRows>(&3), 40, 1);
        table.put_bytes::<AuditRows>(&3, &edited);
    });
    let app = tampered.restart_repairing();
    let dir = app.stop();
    let opened = support::open_stopped(&data_dir(dir.path()));
    let left = coffer::store::check(&opened).unwrap();
    assert!(left.iter().any(|line| line.contains("cannot be found by its id")), "{left:#?}");
}

/// The doctor used to recommend the repair that had just been made.
#[test]
fn what_a_repair_leaves_needs_a_backup_and_what_has_no_key_goes() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    tampered.edit(|table| table.put_raw::<SecretPlaces>(b"no id", b"x"));
    checkup.doctor().is(2).one("error", ["a row of table 's' is damaged", "--repair"]);
    checkup.repair().healthy().says("repaired", ["had an invalid key"]);
    tampered.edit(|table| {
        let mut bytes = table.bytes::<Secrets>(&tampered.secret_key("FIRST"));
        bytes.pop();
        table.put_bytes::<Secrets>(&tampered.secret_key("FIRST"), &bytes);
    });
    checkup.doctor().is(2).says("error", ["a row of table 'S' is damaged", "--repair"]);
    let repair = checkup.repair();
    repair.is(2).says("error", ["a row of table 'S' is damaged", "Restore a backup"]);
    assert!(repair.lines("error").iter().all(|line| !line.contains("--repair")), "{repair:#?}");
}

#[test]
fn modes_and_leftover_files_are_repaired() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let dir = &checkup.data_dir;
    let log = dir.join("db/db");
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(dir.join("db.trial")).unwrap();
    std::fs::create_dir(dir.join("db.damaged.1")).unwrap();
    std::fs::write(dir.join("db.damaged.1/snap.00"), "x").unwrap();
    std::fs::write(dir.join("db/snap.00AB.generating"), "half").unwrap();
    for name in ["db.damaged.1", "db.trial", "db/snap.00AB.generating"] {
        doctor::owner_only(&dir.join(name));
    }
    let found = checkup.doctor();
    found.is(2).says("error", ["db/db is accessible to other users (mode 644)", "chmod 600"]);
    found.says("error", ["(mode 755)", "chmod 700"]);
    found.says("warn", ["db.trial is a trial copy"]);
    found.says("warn", ["db.damaged.1 is damaged snapshots"]);
    // Not found: the repair has opened the database, which removes the snapshot.
    found.says("warn", ["snap.00AB.generating is an unfinished snapshot"]);
    std::fs::write(dir.join("db/snap.00AB.generating"), "half").unwrap();
    doctor::owner_only(&dir.join("db/snap.00AB.generating"));
    let repair = checkup.repair();
    repair.healthy().says("repaired", ["from 644 to 600"]);
    repair.says("repaired", ["removed", "db.trial: "]);
    repair.says("repaired", ["removed", "db.damaged.1: "]);
    repair.says("repaired", ["removed", "snap.00AB.generating: an unfinished snapshot"]);
    for name in ["db.trial", "db.damaged.1", "db/snap.00AB.generating"] {
        assert!(!dir.join(name).exists(), "{name}");
        assert!(checkup.copies()[0].join(name).exists(), "{name}");
    }
    assert!(checkup.copies()[0].join("db.damaged.1/snap.00").exists());
    checkup.doctor().healthy();
}

#[test]
fn a_running_server_is_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&data_dir(dir.path())).start();
    let words = ["doctor", "--repair", "--data-dir"];
    let launch = Launch::bare(dir.path()).arguments(words).argument(data_dir(dir.path()));
    launch.run("").refuses(2, ["in use by a running server", "Stop the server first"]);
    server.stop();
    assert!(!dir.path().join("data.before-repair.1").exists());
}

#[test]
fn a_start_repairs_the_index_and_says_so() {
    expect_log("repaired: an index entry of sec_");
    expect_log("repaired: env_");
    let tampered = TamperedDb::new();
    tampered.edit(|table| {
        table.remove::<SecretPlaces>(&tampered.secret("FIRST").id);
        table.put::<Counts>(&tampered.environment, &CountsRow { secrets: 1, vars: 77 });
        let piece = table.bytes::<ValueChunks>(&tampered.chunk_key("FIRST", 1, 0));
        table.put_bytes_new::<ValueChunks>(&tampered.chunk_key("FIRST", 1, 7), &piece);
    });
    let app = tampered.restart_repairing();
    tampered.assert_others_work(&app, &[]);
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    let repairs: Vec<_> =
        rows.iter().filter(|row| row.draft.action == Action::ServerRepair).collect();
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].draft.details.as_deref(), Some(r#"{"counts":1,"places":1}"#));
    // Without a copy, nothing is removed that may still be needed.
    let left = coffer::store::check(&support::open_stopped(&data_dir(dir.path()))).unwrap();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].starts_with("chunk 7 of"), "{left:#?}");
    TestApp::start_in(dir, Setup::default()).stop();
}

/// Runs a command on a copy of the data directory, on a small disk of its own. Lists the resulting
/// files after the command's own output. Returns `None` where nothing can be mounted.
fn on_a_disk_of(mib: u32, checkup: &Checkup, words: &[&str]) -> Option<(Ended, PathBuf)> {
    const MOUNT: &str = "mount -t tmpfs -o size=\"$SIZE\",mode=700 tmpfs \"$1\" && cp -rp \"$2\" \"$1/data\" \
         && shift 2 && \"$@\"; code=$?; ls -d \"$DIR\"/data* \"$DIR\"/data/db* >&2; exit $code";
    let disk = tempfile::tempdir().unwrap();
    let data_dir = disk.path().join("data");
    let launch = words.iter().fold(Launch::bare(disk.path()), |all, word| all.argument(word));
    let wrapper = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh"];
    let wrapper = wrapper.iter().map(Path::new).chain([disk.path(), &checkup.data_dir]);
    let launch = launch.argument("--data-dir").argument(&data_dir);
    let launch = launch.variable("COFFER_ROOT_KEY_FILE", &checkup.key);
    let launch = launch.variable("DIR", disk.path()).variable("SIZE", format!("{mib}m"));
    let ended = launch.under(wrapper).run("");
    if ended.stderr.contains("unshare:") || ended.stderr.contains("mount:") {
        skip(format!("no file system can be mounted here: {}", ended.stderr.trim()));
        return None;
    }
    Some((ended, data_dir))
}

/// On a disk that is nearly full, neither the copy nor a compaction is started, and the doctor says
/// why writes are refused.
#[test]
fn without_enough_space_nothing_is_started() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let run = |words: &[&str]| on_a_disk_of(60, &checkup, words);
    let Some((found, _)) = run(&["doctor"]) else { return };
    let found = Diagnosis::of(found);
    found.is(2).one(
        "error",
        ["free on the disk; below 64 MiB, writes are refused", "Free some disk space"],
    );
    let Some((repair, data_dir)) = run(&["doctor", "--repair"]) else { return };
    repair.refuses(2, ["needs", "not enough disk space"]);
    let left = format!("{0}\n{0}/db\n", data_dir.display());
    assert!(repair.stderr.ends_with(&left), "{repair:#?}");
    let Some((compact, data_dir)) = run(&["compact"]) else { return };
    compact.refuses(1, ["compacting needs"]);
    let left = format!("{0}\n{0}/db\n", data_dir.display());
    assert!(compact.stderr.ends_with(&left), "{compact:#?}");
}

/// The warning comes before writes are refused, and disappears when there is enough space.
#[test]
fn little_free_space_is_a_warning() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let Some((found, _)) = on_a_disk_of(200, &checkup, &["doctor"]) else { return };
    let found = Diagnosis::of(found);
    found.is(1).one(
        "warn",
        ["free on the disk; below 64 MiB, writes are refused", "Free some disk space"],
    );
    let Some((found, _)) = on_a_disk_of(300, &checkup, &["doctor"]) else { return };
    Diagnosis::of(found).healthy();
}

/// A database that once held much more than it does now.
#[test]
fn a_log_that_is_mostly_garbage_is_a_warning_until_it_is_compacted() {
    const ROWS: u32 = 24_000;

    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let key = |n: u32| [n.to_be_bytes().repeat(8)].concat();
    let is_kept = |n: &u32| n.is_multiple_of(40);
    tampered.edit(|table| {
        let receipt = IdempotencyRow {
            fingerprint: [0; 32],
            environment: None,
            chunks: 0,
            at: SystemClock.now(),
        };
        let kept = postcard::to_extend(&receipt, vec![IdempotencyRecords::FORMAT]).unwrap();
        // Keeps enough live rows between the others that sled cannot shrink the log by itself.
        for n in 0..ROWS {
            let row = if is_kept(&n) { kept.clone() } else { vec![n as u8; 4000] };
            table.put_raw::<IdempotencyRecords>(&key(n), &row);
        }
        for n in (0..ROWS).filter(is_kept) {
            let key = key(n).try_into().unwrap();
            table
                .put_bytes_new::<IdempotencyTimes>(&(receipt.at, key), &[IdempotencyTimes::FORMAT]);
        }
        table.flush();
        for n in (0..ROWS).filter(|n| !is_kept(n)) {
            table.remove_raw::<IdempotencyRecords>(&key(n));
        }
    });
    let found = checkup.doctor();
    found.is(1).one("warn", ["the database takes", "of data", "Run `coffer compact`"]);
    let compact = checkup.launch(["compact"]).run("");
    assert_eq!(compact.code, Some(0), "{compact:#?}");
    checkup.doctor().healthy();
}

/// Files created by another user would lock the server out of its own database.
#[test]
fn another_users_database_is_not_opened() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let chown = std::os::unix::fs::chown;
    // A different owner of the directory alone is fine, as for a mount point.
    if let Err(error) = chown(&checkup.data_dir, Some(12_345), None) {
        return skip(format!("the owner of files cannot be changed here: {error}"));
    }
    checkup.doctor().is(1).says("ok", ["every record opens"]);
    chown(&checkup.data_dir.join("db/db"), Some(12_345), None).unwrap();
    let found = checkup.doctor();
    found.is(2).says("error", ["belongs to user 12345", "Run this command as the server's user"]);
    found.says("warn", ["do not belong to the owner of the data directory"]);
    let repair = checkup.launch(["doctor", "--repair"]).run("");
    repair.refuses(2, ["belongs to user 12345"]);
    assert_eq!(checkup.copies().len(), 0);
    // Run as root, these commands would leave files that the server cannot open.
    let before = names(&checkup.data_dir);
    for words in [
        &["compact"][..],
        &["audit", "verify", "--offline"],
        &["recover", "admin-token"],
        &["backup", "create", "--offline", "a.backup"],
    ] {
        let launch = words.iter().fold(Launch::bare(checkup.outside()), Launch::argument);
        let launch = launch.argument("--data-dir").argument(&checkup.data_dir);
        launch.run("").refuses(2, ["belongs to user 12345", "as the server's user"]);
        assert_eq!(names(&checkup.data_dir), before, "{words:?}");
    }
}

/// Lists the files of a data directory and of the database in it.
fn names(data_dir: &Path) -> Vec<std::path::PathBuf> {
    let below = |dir: &Path| -> Vec<_> {
        dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut names = [below(data_dir), below(&data_dir.join("db"))].concat();
    names.sort();
    names
}
