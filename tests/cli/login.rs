//! `coffer login`, `logout`, `whoami`: a stored session for later commands, only for its own server
//! and its own user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::cli::{Cli, TOKEN};
use support::fake_server::FakeServer;
use support::process::{Ended, Launch, Server, has_program};
use support::{Client, skip};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";
const EMAIL: &str = "ada@example.org";

/// A server with a user, and an empty home directory next to it.
struct Desk {
    dir: TempDir,
    server: Server,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("server")).unwrap();
        let server = Launch::on(&dir.path().join("server/data"))
            .variable("COFFER_AUTH__ARGON2_MEMORY_KIB", "8192")
            .variable("COFFER_AUTH__ARGON2_PASSES", "1")
            .start();
        let user = json!({ "email": EMAIL, "password": PASSWORD, "role": "operator",
            "allEnvironments": true });
        server.admin().post("/api/users", &user).expect(200);
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir, server }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn file(&self) -> PathBuf {
        self.home().join(".config/coffer/login.json")
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// A command with this home directory and no coffer variables.
    fn launch<const N: usize>(&self, words: [&str; N]) -> Launch {
        Launch::bare(&self.home()).arguments(words).variable("HOME", self.home())
    }

    fn run<const N: usize>(&self, words: [&str; N]) -> Ended {
        self.launch(words).run("")
    }

    #[track_caller]
    fn login(&self) -> Value {
        let words = ["login", "--email", EMAIL, "--password-stdin", "--url", &self.url()];
        self.launch(words).run(&format!("{PASSWORD}\n")).json()
    }

    /// The tokens in the login file.
    fn tokens(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let logins = file["logins"].as_array().unwrap().iter();
        logins.map(|login| login["token"].as_str().unwrap().to_owned()).collect()
    }

    fn status_of(&self, token: &str) -> u16 {
        Client::new(self.server.address, Some(token.to_owned())).get("/api/auth/me").status
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_login_is_kept_for_its_owner_alone_and_used_by_the_commands_to_come() {
    let desk = Desk::new();
    let answer = desk.login();
    assert_eq!((&answer["url"], &answer["user"]["email"]), (&json!(desk.url()), &json!(EMAIL)));
    let tokens = desk.tokens();
    assert!(!answer.to_string().contains(&tokens[0]), "the token was printed");
    assert_eq!((mode(&desk.file()), mode(desk.file().parent().unwrap())), (0o600, 0o700));
    let me = desk.run(["whoami"]).json();
    assert_eq!((&me["user"]["email"], &me["role"]), (&json!(EMAIL), &json!("operator")));
    desk.run(["env", "list"]).json();
    desk.run(["env", "list", "--url", &desk.url()]).json();
    // Each server has one spelling.
    let spelled = desk.url().replace("http", "HTTP") + "/";
    desk.run(["env", "list", "--url", &spelled]).json();
    let out = desk.run(["logout"]).json();
    assert_eq!(out, json!({ "url": desk.url(), "ended": true }));
    assert_eq!(desk.status_of(&tokens[0]), 401);
    assert_eq!(desk.tokens(), [""; 0]);
    desk.run(["logout"]).refuses(1, ["not logged in\n", "coffer whoami"]);
    desk.server.stop();
}

#[test]
fn xdg_config_home_says_where_the_file_is() {
    let desk = Desk::new();
    let elsewhere = desk.dir.path().join("elsewhere");
    let launch = |words: &[&str]| {
        let launch = words.iter().fold(Launch::bare(&desk.home()), Launch::argument);
        launch.variable("HOME", desk.home()).variable("XDG_CONFIG_HOME", &elsewhere)
    };
    let words = ["login", "--email", EMAIL, "--password-stdin", "--url", &desk.url()];
    launch(&words).run(&format!("{PASSWORD}\n")).json();
    assert_eq!(mode(&elsewhere.join("coffer/login.json")), 0o600);
    assert!(!desk.file().exists());
    launch(&["whoami"]).run("").json();
    // Without either variable there is no place to store a session, and the command does not prompt
    // first.
    let ended = Launch::bare(&desk.home()).arguments(["login", "--email", EMAIL]).run("");
    ended.refuses(2, ["neither HOME nor XDG_CONFIG_HOME is set\n", "COFFER_TOKEN"]);
    desk.server.stop();
}

#[test]
fn a_new_login_ends_the_session_that_it_replaces() {
    let desk = Desk::new();
    desk.login();
    let first = desk.tokens();
    desk.login();
    let second = desk.tokens();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!((desk.status_of(&first[0]), desk.status_of(&second[0])), (401, 200));
    desk.server.stop();
}

#[test]
fn a_wrong_password_is_said_and_nothing_is_kept() {
    let desk = Desk::new();
    let words = ["login", "--email", EMAIL, "--password-stdin", "--url", &desk.url()];
    let ended = desk.launch(words).run("a wrong password\n");
    ended.refuses(1, ["coffer: Wrong email address or password.\n", "(request req_"]);
    assert!(!ended.stderr.contains("token"), "{ended:#?}");
    assert!(!desk.file().exists());
    desk.run(words).refuses(2, ["no password on stdin"]);
    desk.run(["login", "--url", &desk.url()]).refuses(2, ["stdin is not a terminal", "--email"]);
    let no_password = desk.run(["login", "--url", &desk.url(), "--email", EMAIL]);
    no_password.refuses(2, ["cannot prompt for a password", "--password-stdin"]);
    desk.server.stop();
}

#[test]
fn a_session_that_has_ended_says_so_and_how_to_begin_another() {
    let desk = Desk::new();
    desk.login();
    let token = desk.tokens().remove(0);
    let session = Client::new(desk.server.address, Some(token));
    session.send("POST", "/api/auth/logout", None).expect(200);
    let ended = desk.run(["secret", "list", "--env", "development"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(ended.code, Some(1));
    assert_eq!(lines[0], format!("coffer: your session at {} has expired", desk.url()));
    let login = format!("Log in again: coffer login --url {} (request req_", desk.url());
    assert!(lines[1].starts_with(&login), "{lines:?}");
    // An expired session can still be logged out.
    assert_eq!(desk.run(["logout"]).code, Some(0));
    assert_eq!(desk.tokens(), [""; 0]);
    desk.server.stop();
}

/// A session belongs to its server. Any other server that is named, however similar, gets nothing.
#[test]
fn a_session_goes_to_no_other_server_than_its_own() {
    let desk = Desk::new();
    desk.login();
    let token = desk.tokens().remove(0);
    let other =
        FakeServer::answering([("GET /api/environments", 200, json!({ "environments": [] }))]);
    let port = desk.server.address.port();
    for url in [
        format!("http://{}", other.address),
        format!("http://localhost:{port}"),
        format!("http://{}/below", desk.server.address),
        format!("https://{}", desk.server.address),
        format!("http://127.0.0.2:{port}"),
    ] {
        let ended = desk.run(["env", "list", "--url", &url]);
        ended.refuses(2, ["no token", "coffer login"]);
        let ended = desk.launch(["env", "list"]).variable("COFFER_URL", &url).run("");
        ended.refuses(2, ["no token"]);
        ended.keeps_quiet_about(&token);
    }
    let ended = desk.run(["env", "list", "--url", "https://coffer.invalid"]);
    ended.refuses(
        2,
        ["only for the server on this host", "coffer login --url https://coffer.invalid"],
    );
    // A given token is sent to the same server as without a login.
    let launch = desk.launch(["env", "list"]).variable("COFFER_TOKEN", TOKEN);
    let listen = ("COFFER_SERVER__LISTEN", other.address.to_string());
    launch.variable(listen.0, &listen.1).run("").json();
    assert_eq!(other.lines().len(), 1);
    assert!(!format!("{:?}", other.heard()).contains(&token));
    let words = ["login", "--email", EMAIL, "--password-stdin", "--url", &desk.url()];
    let launch = desk.launch(words).variable("COFFER_TOKEN", TOKEN);
    let ended = launch.run(&format!("{PASSWORD}\n"));
    assert!(ended.stderr.contains("COFFER_TOKEN is set"), "{ended:#?}");
    desk.server.stop();
}

#[test]
fn logins_at_two_servers_do_not_mix() {
    let (one, two) = (Desk::new(), Desk::new());
    one.login();
    // Logs in to the second server with the first one's home directory.
    let words = ["login", "--email", EMAIL, "--password-stdin", "--url", &two.url()];
    one.launch(words).run(&format!("{PASSWORD}\n")).json();
    let tokens = one.tokens();
    assert_eq!(tokens.len(), 2);
    two.server.admin().post("/api/environments", &json!({ "name": "of-two" })).expect(200);
    let names = |words: &[&str]| {
        let launch = words.iter().fold(Launch::bare(&one.home()), Launch::argument);
        launch.variable("HOME", one.home()).run("").json().to_string()
    };
    // Commands use the server of the last login.
    assert!(names(&["env", "list"]).contains("of-two"));
    assert!(!names(&["env", "list", "--url", &one.url()]).contains("of-two"));
    one.run(["logout"]).json();
    assert_eq!((two.status_of(&tokens[0]), one.status_of(&tokens[1])), (401, 200));
    assert!(!names(&["env", "list"]).contains("of-two"));
    one.server.stop();
    two.server.stop();
}

#[test]
fn this_hosts_server_is_found_by_its_directory_without_a_login() {
    let desk = Desk::new();
    desk.login();
    let launch = desk.launch(["whoami", "--data-dir"]).argument(&desk.server.data_dir);
    let launch = launch.variable("COFFER_SERVER__LISTEN", desk.server.address.to_string());
    assert_eq!(launch.run("").json()["role"], "admin");
    desk.server.stop();
}

#[test]
fn a_file_that_others_could_read_or_write_is_not_used() {
    let desk = Desk::new();
    desk.login();
    let token = desk.tokens().remove(0);
    for bits in [0o640, 0o604, 0o660, 0o620, 0o602, 0o777] {
        std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(bits)).unwrap();
        let ended = desk.run(["whoami"]);
        ended.refuses(2, ["login.json: other users can", "coffer login"]);
        ended.keeps_quiet_about(&token);
    }
    // A given token needs no file.
    let launch = desk.launch(["whoami", "--url", &desk.url()]);
    launch.variable("COFFER_TOKEN", desk.server.token()).run("").json();
    std::fs::remove_file(desk.file()).unwrap();
    std::fs::create_dir(desk.file()).unwrap();
    desk.run(["whoami"]).refuses(2, ["login.json: it is not a regular file"]);
    std::fs::remove_dir(desk.file()).unwrap();
    for text in ["", "{", "[]", "{\"logins\":[{\"token\":\"cos_hidden\"}]}"] {
        std::fs::write(desk.file(), text).unwrap();
        std::fs::set_permissions(desk.file(), PermissionsExt::from_mode(0o600)).unwrap();
        let ended = desk.run(["whoami"]);
        ended.refuses(2, ["is not a valid login file", "coffer login"]);
        ended.keeps_quiet_about("cos_hidden");
    }
    desk.server.stop();
}

#[test]
fn a_file_of_another_user_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can change the owner of a file");
    }
    let desk = Desk::new();
    desk.login();
    std::os::unix::fs::chown(desk.file(), Some(65534), None).unwrap();
    desk.run(["whoami"]).refuses(2, ["login.json: it belongs to another user"]);
    desk.server.stop();
}

#[test]
fn what_cannot_be_ended_can_be_forgotten() {
    let desk = Desk::new();
    desk.login();
    let url = desk.url();
    let Desk { dir, server } = desk;
    server.stop();
    let home = dir.path().join("home");
    let run = |words: &[&str]| {
        let launch = words.iter().fold(Launch::bare(&home), Launch::argument);
        launch.variable("HOME", &home).run("")
    };
    run(&["logout"]).refuses(1, ["cannot reach", "still logged in", "coffer logout --forget"]);
    assert_eq!(run(&["logout", "--forget"]).json(), json!({ "url": url, "ended": false }));
    run(&["logout"]).refuses(1, ["not logged in"]);
}

#[test]
fn a_person_is_prompted_and_the_password_is_not_shown() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let desk = Desk::new();
    let mut terminal = desk.launch(["login", "--url", &desk.url()]).in_terminal();
    terminal.shows("Email: ");
    terminal.types(&format!("{EMAIL}\n"));
    terminal.shows("Password: ");
    terminal.hides();
    terminal.types(&format!("{PASSWORD}\n"));
    let (text, code) = terminal.ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with(&format!("logged in to {} as {EMAIL}\n", desk.url())), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let (text, code) = desk.launch(["whoami"]).in_terminal().ends();
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], format!("user          {EMAIL}"));
    assert_eq!(
        lines[2..5],
        ["role          operator", "environments  all", &format!("server        {}", desk.url())]
    );
    assert!(lines[5].ends_with(".config/coffer/login.json"), "{text}");
    // The next login suggests the same email address.
    let mut terminal = desk.launch(["login"]).in_terminal();
    terminal.shows(&format!("Email [{EMAIL}]: "));
    terminal.types("\n");
    terminal.shows("Password: ");
    terminal.hides();
    terminal.types(&format!("{PASSWORD}\n"));
    assert_eq!(terminal.ends().1, Some(0));
    let (text, code) = desk.launch(["logout"]).in_terminal().ends();
    assert_eq!((text, code), (format!("logged out of {}\n", desk.url()), Some(0)));
    desk.server.stop();
}

#[test]
fn a_password_in_the_clear_on_the_network_is_warned_of() {
    let proxy = FakeServer::saying(support::fake_server::answer(403, "", ""));
    let home = tempfile::tempdir().unwrap();
    let words = ["login", "--email", EMAIL, "--password-stdin", "--url", "http://coffer.invalid"];
    let cli = Cli::on(proxy.address);
    let launch = cli.launch(words).variable("HOME", home.path());
    let ended = launch
        .variable("HTTP_PROXY", format!("http://{}", proxy.address))
        .run(&format!("{PASSWORD}\n"));
    assert!(ended.stderr.contains("the password is sent unencrypted"), "{ended:#?}");
    ended.keeps_quiet_about(PASSWORD);
}
