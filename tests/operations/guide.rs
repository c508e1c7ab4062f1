//! Runs the commands in docs/operations.md exactly as printed, section by section, in one shell,
//! against the real binary.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeBounds;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use coffer::store::SecretPlaces;
use coffer::vault::RootKey;
use support::process::{Launch, Server, binary, has_program};
use support::tampered_db::Table;
use support::{Client, api, audit_rows, data_dir, rows_fit, skip};
use tempfile::TempDir;

const PASSPHRASE: &str = "seven lamps over the harbour";
const VALUE: &str = "kept through all of this";

/// The sections with commands. Each is covered by a test below.
const SECTIONS: [&str; 9] = [
    "Rotate the keys",
    "Back up",
    "Restore on another machine",
    "Upgrade",
    "Disaster: records or rows are damaged",
    "Disaster: the database does not open",
    "Disaster: a sync has failed",
    "Disaster: nobody can get in",
    "Compact",
];

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    std::fs::read_to_string(path).unwrap()
}

fn section(title: &str) -> String {
    let page = page();
    let sections = page.split("\n## ");
    let mut found = sections.filter(|part| part.split('\n').next() == Some(title));
    found.next().unwrap_or_else(|| panic!("the page has no section {title:?}")).to_owned()
}

/// Returns the commands in the console blocks of a section.
fn commands(title: &str) -> Vec<String> {
    let section = section(title);
    section.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Returns the `config.toml` lines of a section.
fn settings(title: &str) -> String {
    let section = section(title);
    let (_, text) = section.split_once("```toml\n").expect("the section has settings");
    text.split("```").next().unwrap().to_owned()
}

/// A machine with one server and its operator.
struct Operator {
    dir: TempDir,
    launch: Launch,
    server: Option<Server>,
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    programs: TempDir,
}

impl Operator {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(binary(), programs.path().join("coffer")).unwrap();
        let passphrase = programs.path().join("passphrase");
        coffer::store::write_private(&passphrase, PASSPHRASE).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh")
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", programs.path().display()))
            .env("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase)
            // Nothing listens at this address, so no running server is found while the server is
            // stopped.
            .env("COFFER_SERVER__LISTEN", "127.0.0.1:1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The unit runs whichever program is currently installed.
        let installed = programs.path().join("coffer");
        let unit = ["sh", "-c", "shift; exec \"$0\" \"$@\""].map(Path::new);
        let launch = Launch::on(&data_dir(dir.path()))
            .variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase)
            .under(unit.into_iter().chain([installed.as_path()]));
        let (input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let output = BufReader::new(output);
        Self { dir, launch, server: None, shell, input, output, programs }
    }

    /// Starts a server that holds a secret. Returns the secret's ID.
    fn with_secret() -> (Self, String) {
        let mut operator = Self::new();
        operator.start();
        let made = api::new_secret(&operator.server().admin(), "development", "A", VALUE);
        (operator, api::text(&made, "id").to_owned())
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    fn start(&mut self) {
        let server = self.launch.start();
        let url = format!("http://{}", server.address);
        self.server = Some(server);
        assert_eq!(self.run(&format!("export COFFER_URL={url}")).0, 0);
    }

    fn stop(&mut self) {
        self.server.take().expect("the server runs").stop();
        assert_eq!(self.run("unset COFFER_URL").0, 0);
    }

    /// Stops the server and changes its directory. The page's first command stops a server, so
    /// another one runs in its place, in the directory that is returned.
    fn while_stopped(&mut self, change: impl FnOnce(&Path)) -> TempDir {
        self.stop();
        change(&data_dir(self.dir.path()));
        let elsewhere = tempfile::tempdir().unwrap();
        self.server = Some(Launch::on(&data_dir(elsewhere.path())).start());
        elsewhere
    }

    /// Runs a command in the shell. Returns its exit code, stdout and stderr.
    fn run(&mut self, command: &str) -> (i32, String, String) {
        let errors = self.dir.path().join("stderr");
        writeln!(self.input, "{command} 2>{}", errors.display()).unwrap();
        writeln!(self.input, "printf '\\nended %s\\n' \"$?\"").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "{command}: {printed}");
            if let Some(code) = line.strip_prefix("ended ") {
                let errors_text = std::fs::read_to_string(&errors).unwrap();
                std::fs::remove_file(errors).unwrap();
                return (code.trim().parse().unwrap(), printed, errors_text);
            }
            printed += &line;
        }
    }

    /// Runs the commands of a section in order and returns what they print. `codes` has the
    /// position and exit code of each command that does not exit with 0.
    #[track_caller]
    fn follow(&mut self, title: &str, codes: &[(usize, i32)]) -> String {
        self.follow_part(title, .., codes)
    }

    /// Runs only the commands at these positions of the section.
    #[track_caller]
    fn follow_part(
        &mut self,
        title: &str,
        part: impl RangeBounds<usize>,
        codes: &[(usize, i32)],
    ) -> String {
        assert!(SECTIONS.contains(&title), "{title}");
        let mut said = String::new();
        let commands = commands(title).into_iter().enumerate();
        for (place, command) in commands.filter(|(place, _)| part.contains(place)) {
            match command.as_str() {
                "systemctl stop coffer" => self.stop(),
                "systemctl start coffer" => self.start(),
                command => {
                    let (code, printed, errors) = self.run(command);
                    let wanted =
                        codes.iter().find(|(at, _)| *at == place).map_or(0, |(_, code)| *code);
                    assert_eq!(code, wanted, "{command}: {printed}{errors}");
                    // `recover` prints on stderr what the others print on stdout.
                    let is_quiet = !command.contains("recover ") && command.starts_with("coffer");
                    // A rewrite of the log after a failed sync is reported on stderr as well.
                    let about_the_sync =
                        errors.lines().count() == 1 && errors.contains("log once more");
                    let complains = is_quiet && !errors.is_empty() && !about_the_sync;
                    assert!(!complains, "{command}: {errors}");
                    said += &printed;
                }
            }
        }
        said
    }

    /// Checks that the server holds the secret, and that its rows and audit log are sound.
    fn ends_well(mut self, id: &str) {
        assert_eq!(api::reveal(&self.server().admin(), id), VALUE);
        self.stop();
        rows_fit(&data_dir(self.dir.path()));
        audit_rows(self.dir.path());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn every_section_with_commands_is_tested() {
    let page = page();
    let titles = page.split("\n## ").skip(1).filter(|part| part.contains("```console"));
    let titles: BTreeSet<_> = titles.map(|part| part.split('\n').next().unwrap()).collect();
    assert_eq!(titles, BTreeSet::from(SECTIONS));
}

#[test]
fn the_keys_are_rotated_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    let root_key = data_dir(operator.dir.path()).join("root.key");
    let first = std::fs::read_to_string(&root_key).unwrap();
    let said = operator.follow("Rotate the keys", &[]);
    assert!(said.contains(r#""previousNeeded":false"#), "{said}");
    let status = api::rotated(&operator.server().admin());
    assert_eq!(status["keys"].as_array().unwrap().len(), 1, "{status}");
    let old = RootKey::parse(&first).unwrap().fingerprint().to_string();
    assert_ne!(status["rootKey"]["fingerprint"], old);
    let text = std::fs::read_to_string(&root_key).unwrap();
    assert!(text.starts_with("coffer-root-key-v1:"), "{text}");
    // The check of the audit chain needs the unprotected key.
    let (code, ..) = operator.run("coffer key protect --remove data/root.key");
    assert_eq!(code, 0);
    operator.ends_well(&id);
}

#[test]
fn backups_are_made_as_the_page_says() {
    if !has_program("age") {
        return skip("age is not installed");
    }
    let (mut operator, id) = Operator::with_secret();
    operator.follow("Back up", &[]);
    for made in ["monday.backup", "tuesday.backup", "wednesday.age"] {
        let metadata = operator.dir.path().join("backups").join(made).metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{made}");
    }
    operator.ends_well(&id);
}

#[test]
fn a_backup_is_restored_on_another_machine_as_the_page_says() {
    let (mut there, id) = Operator::with_secret();
    there.run("coffer backup create coffer.backup");
    let token = there.server().token();
    let mut here = Operator::new();
    for (from, to) in [("coffer.backup", "coffer.backup"), ("data/root.key", "root.key")] {
        std::fs::copy(there.dir.path().join(from), here.dir.path().join(to)).unwrap();
    }
    drop(there);
    here.launch =
        here.launch.clone().variable("COFFER_ROOT_KEY_FILE", here.dir.path().join("root.key"));
    here.run(&format!("export COFFER_TOKEN={token}"));
    here.follow("Restore on another machine", &[]);
    assert_eq!(api::reveal(&Client::new(here.server().address, Some(token.clone())), &id), VALUE);
    here.stop();
    rows_fit(&data_dir(here.dir.path()));
}

/// The directory used to be still empty, and a server created a new database there.
#[test]
fn a_restore_that_was_cut_off_at_its_first_step_keeps_servers_out_until_it_is_run_again() {
    let (mut operator, id) = Operator::with_secret();
    operator.run("coffer backup create coffer.backup");
    operator.stop();
    let commands =
        ["mv data data.old", "mkdir -p -m 700 data/restoring", "cp -p data.old/root.key data/"];
    commands.iter().for_each(|command| assert_eq!(operator.run(command).0, 0, "{command}"));
    let refused = operator.launch.fails();
    refused.says(["a restore into", "was interrupted. Run it again, or remove", "/restoring"]);
    assert!(!operator.dir.path().join("data/db").exists());
    // These commands used to report that there is no database.
    for command in ["coffer doctor", "coffer compact", "coffer audit verify --offline"] {
        let (code, printed, errors) = operator.run(command);
        let said = printed + &errors;
        assert!(code != 0 && said.contains("was interrupted. Run it again"), "{command}: {said}");
    }
    let restore = operator.run("coffer backup restore coffer.backup --data-dir data");
    assert_eq!(restore.0, 0, "{restore:?}");
    operator.run("cp -p data.old/bootstrap-token data/");
    operator.start();
    operator.ends_well(&id);
}

#[test]
fn backups_are_made_by_the_settings_that_the_page_prints() {
    let mut operator = Operator::new();
    let settings = settings("Back up");
    std::fs::write(operator.dir.path().join("config.toml"), &settings).unwrap();
    // Replaces only the destination: some machines do not have that directory, and others use it.
    assert!(settings.contains("directory = \"/var/backups/coffer\"\n"), "{settings}");
    let to = operator.dir.path().join("scheduled");
    operator.launch = operator.launch.clone().variable("COFFER_BACKUP__DIRECTORY", &to);
    operator.start();
    let made = api::new_secret(&operator.server().admin(), "development", "A", VALUE);
    let said = operator.server().running.stderr.wait_for(|line| line.contains("created backup "));
    assert!(said.is_some(), "{}", operator.server().running.stderr.so_far());
    let files = to.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let is_backup = |path: &PathBuf| path.extension().is_some_and(|end| end == "backup");
    let file = files.into_iter().find(is_backup).expect("the reported backup exists");
    let name = file.file_name().unwrap().to_str().unwrap();
    let is_dated = name.starts_with("coffer-") && name.ends_with("Z.backup");
    assert!(is_dated && name.len() == "coffer-ID345678-YYYYMMDDTHHMMSSZ.backup".len(), "{name}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{name}");
    let verify = operator.run(&format!("coffer backup verify {}", file.display()));
    assert_eq!(verify.0, 0, "{verify:?}");
    // The other two settings do what the page says.
    let config = coffer::config::load(
        Some(&operator.dir.path().join("config.toml")),
        &coffer::config::Variables::from_pairs([]),
    )
    .unwrap();
    assert_eq!((config.backup.every_minutes, config.backup.keep), (24 * 60, 7));
    operator.ends_well(api::text(&made, "id"));
}

#[test]
fn the_program_is_exchanged_and_put_back_as_the_page_says() {
    const TITLE: &str = "Upgrade";

    let (mut operator, id) = Operator::with_secret();
    // The same program with different bytes: data after its end is ignored.
    let (old, new) = (std::fs::read(binary()).unwrap(), operator.dir.path().join("coffer.new"));
    std::fs::write(&new, [&old[..], b"new"].concat()).unwrap();
    let installed = operator.programs.path().join("coffer");
    let is_installed = |wanted: &[u8]| std::fs::read(&installed).unwrap() == wanted;
    let back = commands(TITLE).iter().rposition(|one| one == "systemctl stop coffer").unwrap();
    // Exit code 1 is a warning: the root key is in the data directory.
    operator.follow_part(TITLE, ..back, &[(6, 1)]);
    assert!(is_installed(&std::fs::read(&new).unwrap()));
    let later = api::new_secret(&operator.server().admin(), "development", "LATER", VALUE);
    let warned = commands(TITLE).len() - 1;
    operator.follow_part(TITLE, back.., &[(warned, 1)]);
    assert!(is_installed(&old));
    let path = format!("/api/secrets/{}/value", api::text(&later, "id"));
    operator.server().admin().get(&path).expect_error(404, "NOT_FOUND");
    operator.ends_well(&id);
}

#[test]
fn damage_is_repaired_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    let _elsewhere = operator.while_stopped(|data_dir| {
        let table = Table::open(data_dir);
        table.remove::<SecretPlaces>(&id.parse().unwrap());
        table.close();
        support::await_release(data_dir);
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(data_dir.join("db/db"), mode).unwrap();
    });
    let title = "Disaster: records or rows are damaged";
    let said = operator.follow_part(title, ..2, &[(1, 2)]);
    for words in ["cannot be found by its id", "→ Run `coffer doctor --repair`"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = operator.follow_part(title, 2..3, &[(2, 1)]);
    for words in
        ["was missing and has been restored", "from 644 to 600", "copied the data directory to"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = operator.follow_part(title, 3..4, &[(3, 1)]);
    assert!(said.contains("indexes are consistent") && !said.contains("error "), "{said}");
    operator.follow_part(title, 4.., &[]);
    assert!(operator.dir.path().join("data.before-repair.1/db/db").exists());
    let query = "/api/audit-logs?action=server.repair";
    assert_eq!(operator.server().admin().get(query).expect(200)["total"], 1);
    operator.ends_well(&id);
}

/// Overwrites the first half of a file with garbage.
fn ruin(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_database_that_does_not_open_is_replaced_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    operator.run("mkdir -m 700 backups && coffer backup create backups/monday.backup");
    // The page's first command stops a server, and this one could not even start.
    let launch = operator.launch.clone();
    let _elsewhere = operator.while_stopped(|data_dir| {
        ruin(&data_dir.join("db/db"));
        let ended = launch.fails();
        assert!(ended.stderr.contains("coffer: "), "{ended:#?}");
    });
    let page = commands("Disaster: the database does not open");
    assert_eq!(page[0], "systemctl stop coffer");
    operator.follow("Disaster: the database does not open", &[]);
    operator.ends_well(&id);
}

#[test]
fn a_failed_sync_is_looked_after_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    // A server that could not sync leaves this marker; the running one does not check it again.
    let word = data_dir(operator.dir.path()).join("unsynced");
    coffer::store::write_private(&word, "").unwrap();
    let said = operator.follow("Disaster: a sync has failed", &[(2, 1)]);
    assert!(said.contains("a write or sync has failed"), "{said}");
    assert!(!word.exists() && operator.dir.path().join("data.copy/unsynced").exists());
    operator.ends_well(&id);
}

#[test]
fn a_way_in_is_found_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    let said = operator.follow("Disaster: nobody can get in", &[]);
    let token = said.split_whitespace().find(|word| word.starts_with("cof_"));
    let token = token.unwrap_or_else(|| panic!("{said}"));
    let client = Client::new(operator.server().address, Some(token.to_owned()));
    assert_eq!(client.get("/api/auth/me").expect(200)["user"]["role"], "admin");
    operator.ends_well(&id);
}

#[test]
fn the_database_is_compacted_as_the_page_says() {
    let (mut operator, id) = Operator::with_secret();
    let said = operator.follow("Compact", &[]);
    assert!(said.contains("afterBytes"), "{said}");
    operator.ends_well(&id);
}
