//! How the commands find a server and its token, what they say when there is no usable answer, and
//! where a token must never be sent.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::cli::{Cli, TOKEN};
use support::fake_server::{FakeServer, answer};
use support::process::{Launch, has_program};
use support::skip;

const LIST: [&str; 2] = ["env", "list"];
const GET_LIST: &str = "GET /api/environments";

fn empty() -> FakeServer {
    FakeServer::answering([(GET_LIST, 200, json!({ "environments": [] }))])
}

#[test]
fn the_token_is_in_one_header_and_nowhere_else() {
    let scripted = empty();
    let ended = Cli::on(scripted.address).launch(LIST).variable("RUST_LOG", "trace").run("");
    ended.json();
    ended.keeps_quiet_about(TOKEN);
    let heard = scripted.only(GET_LIST);
    assert_eq!(heard.header("authorization"), Some(format!("Bearer {TOKEN}")));
    let everything = format!("{heard:?}");
    assert_eq!(everything.matches(TOKEN).count(), 1, "{everything}");
    assert_eq!(heard.header("cookie"), None);
}

#[test]
fn the_servers_own_token_is_found_in_its_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let listen = server.address.to_string();
    // As on the server's host: in its directory, with its configuration.
    let bare = Launch::bare(dir.path()).arguments(LIST);
    bare.clone().variable("COFFER_SERVER__LISTEN", &listen).run("").json();
    std::fs::write(dir.path().join("config.toml"), format!("[server]\nlisten = \"{listen}\"\n"))
        .unwrap();
    bare.run("").json();
    std::fs::rename(dir.path().join("config.toml"), dir.path().join("other.toml")).unwrap();
    bare.clone().arguments(["--config", "other.toml"]).run("").json();
    // From another directory, with a URL and the data directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let bare = Launch::bare(elsewhere.path()).arguments(LIST);
    let url = format!("http://{listen}/");
    bare.clone()
        .arguments(["--url", &url])
        .run("")
        .refuses(2, ["no token", "COFFER_TOKEN", "--data-dir"]);
    let with = bare.arguments(["--url", &url]).argument("--data-dir").argument(&server.data_dir);
    with.run("").json();
    server.stop();
}

#[test]
fn the_argument_wins_over_the_variable() {
    let (meant, other) = (empty(), empty());
    let url = format!("http://{}", meant.address);
    Cli::on(other.address).launch(LIST).arguments(["--url", &url]).run("").json();
    assert_eq!((meant.lines().len(), other.lines().len()), (1, 0));
    let path = FakeServer::answering([("GET /below/api/environments", 200, json!({}))]);
    let url = format!("http://{}/below/", path.address);
    Cli::on(other.address).launch(LIST).arguments(["--url", &url]).run("").json();
}

/// The first admin's token is for this host's server; a server on another host could belong to
/// anyone.
#[test]
fn this_hosts_token_goes_to_no_other_host() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("data/bootstrap-token"), TOKEN).unwrap();
    let proxy = empty();
    let proxy = format!("http://{}", proxy.address);
    for url in ["https://coffer.invalid", "http://localhost.invalid", "http://192.0.2.1:8420"] {
        let launch = Launch::bare(dir.path()).arguments(LIST).variable("COFFER_URL", url);
        let ended = launch.variable("HTTP_PROXY", &proxy).variable("HTTPS_PROXY", &proxy).run("");
        ended.refuses(2, ["only for the server on this host", "COFFER_TOKEN"]);
        ended.keeps_quiet_about(TOKEN);
    }
}

#[test]
fn no_proxy_is_used_for_this_host_itself() {
    let (scripted, proxy) = (empty(), empty());
    let proxy_url = format!("http://{}", proxy.address);
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"];
    let cli = Cli::on(scripted.address);
    let through = |launch: Launch, name: &&str| launch.variable(name, &proxy_url);
    let launch = names.iter().fold(cli.launch(LIST), through);
    launch.run("").json();
    assert_eq!((scripted.lines().len(), proxy.lines().len()), (1, 0));
}

#[test]
fn a_token_in_the_clear_on_the_network_is_warned_of() {
    let proxy = FakeServer::saying(answer(403, "", ""));
    let cli = Cli::on(proxy.address);
    let launch = cli.launch(LIST).arguments(["--url", "http://coffer.invalid"]);
    let ended = launch.variable("HTTP_PROXY", format!("http://{}", proxy.address)).run("");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(ended.stderr.matches("unencrypted").count(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("coffer.invalid"), "{ended:#?}");
    let local = Cli::on(empty().address).run(LIST);
    assert!(!local.stderr.contains("unencrypted"), "{local:#?}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = empty();
    for status in [301, 302, 303, 307, 308] {
        for target in
            [format!("http://{}/api/environments", elsewhere.address), "/elsewhere".into()]
        {
            let location = format!("Location: {target}\r\n");
            let scripted = FakeServer::saying(answer(status, &location, ""));
            let cli = Cli::on(scripted.address);
            cli.run(LIST).refuses(1, ["redirects to", &target, "--url"]);
            cli.run(["env", "create", "x"]).refuses(1, ["redirects to"]);
            assert_eq!(scripted.lines().len(), 2);
        }
    }
    assert_eq!(elsewhere.lines(), [""; 0]);
}

#[test]
fn a_server_that_is_not_there_is_to_be_started() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = Cli::on(free).run(LIST);
    let address = free.to_string();
    ended.refuses(1, ["cannot reach http://", &address, "refused", "coffer serve", "--url"]);
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:#?}");
}

#[test]
fn a_host_that_is_not_there_is_said() {
    let cli = Cli::on(([127, 0, 0, 1], 9).into());
    let ended = cli.launch(LIST).arguments(["--url", "https://coffer.invalid"]).run("");
    ended.refuses(1, ["cannot reach https://coffer.invalid", "address"]);
}

#[test]
fn a_connection_that_breaks_may_have_done_something() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"HTTP/1.1 200"] {
        let scripted = FakeServer::saying(bytes);
        let cli = Cli::on(scripted.address);
        let ended = cli.run(["env", "create", "x"]);
        ended.refuses(1, ["coffer: "]);
        assert_eq!(scripted.lines().len(), 1, "sent again: {bytes:?}");
        assert!(ended.stderr.contains("may or may not have been saved"), "{ended:#?}");
        let ended = cli.run(LIST);
        assert!(!ended.stderr.contains("may or may not have been saved"), "{ended:#?}");
    }
}

#[test]
fn an_answer_of_something_else_is_said_to_be_that() {
    let json = "Content-Type: application/json\r\n";
    let answers = [
        answer(200, "Content-Type: text/html\r\n", "<html>hello</html>"),
        answer(200, json, ""),
        answer(200, json, "{\"environments\":[}"),
        answer(502, "Content-Type: text/html\r\n", "<html>Bad Gateway</html>"),
        answer(404, json, "{\"error\":\"nope\"}"),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
    ];
    for bytes in answers {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let ended = Cli::on(FakeServer::saying(bytes).address).run(LIST);
        assert_eq!(ended.code, Some(1), "{shown}: {ended:#?}");
        assert!(ended.stderr.contains("unexpected response"), "{shown}: {ended:#?}");
        assert!(ended.stderr.contains("COFFER_URL"), "{ended:#?}");
        ended.keeps_quiet_about("<html>hello");
    }
    // JSON with the wrong shape, where the command needs its content.
    let scripted = FakeServer::answering([("GET /api/users", 200, json!({ "people": [] }))]);
    let ended = Cli::on(scripted.address).run(["user", "disable", "ada@example.com"]);
    ended.refuses(1, ["unexpected response"]);
}

#[test]
fn a_bad_token_is_traced_to_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let ended = Cli::on(server.address).run(LIST);
    ended.refuses(1, ["COFFER_TOKEN is not valid or has expired", "(request req_"]);
    ended.keeps_quiet_about(TOKEN);
    let file = server.data_dir.join("bootstrap-token");
    std::fs::write(&file, TOKEN).unwrap();
    let url = format!("http://{}", server.address);
    let launch = Launch::bare(dir.path()).arguments(LIST).arguments(["--url", &url]);
    launch.run("").refuses(1, ["bootstrap-token"]);
    server.stop();
}

#[test]
fn a_caller_who_has_to_wait_is_told_how_long() {
    let body =
        r#"{"code":"RATE_LIMITED","message":"Too many.","hint":"Wait.","requestId":"req_1"}"#;
    let scripted = FakeServer::saying(answer(429, "Retry-After: 17\r\n", body));
    let ended = Cli::on(scripted.address).run(LIST);
    ended.refuses(1, ["coffer: Too many.\nTry again in 17 s. (request req_1)\n"]);
}

#[test]
fn what_is_set_wrong_is_exit_code_2() {
    let cli = Cli::on(empty().address);
    let set = |name: &str, value: &str| cli.launch(LIST).variable(name, value).run("");
    // If a script sets an empty variable, the command must not fall back to this host's own token
    // or server.
    set("COFFER_TOKEN", "").refuses(2, ["COFFER_TOKEN does not contain a valid token"]);
    set("COFFER_TOKEN", "two words").refuses(2, ["COFFER_TOKEN does not contain a valid token"]);
    set("COFFER_URL", "").refuses(2, ["COFFER_URL: must be a URL"]);
    set("COFFER_URL", "localhost:8420").refuses(2, ["COFFER_URL: must be a URL"]);
    set("COFFER_TOKN", TOKEN).refuses(2, ["Did you mean COFFER_TOKEN?"]);
    set("COFFER_ADMIN_PASWORD", "x").refuses(2, ["Did you mean COFFER_ADMIN_PASSWORD?"]);
    let password = set("COFFER_URL", "http://me:hunter2hunter2@127.0.0.1");
    password.refuses(2, ["COFFER_URL: must not contain a user name"]);
    password.keeps_quiet_about("hunter2hunter2");
    cli.run(["env", "list", "--config", "nowhere.toml"]).refuses(2, ["nowhere.toml"]);
}

/// A TLS server with a certificate from an unknown CA.
struct Tls {
    server: Child,
    port: u16,
}

impl Tls {
    fn start(dir: &Path) -> Option<Self> {
        let openssl = |words: &str| {
            let words = words.split(' ').filter(|word| !word.is_empty());
            let made = Command::new("openssl").args(words).current_dir(dir).output().ok()?;
            made.status.success().then_some(())
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca"))?;
        openssl(&format!(
            "req -x509 {key} -keyout key.pem -out cert.pem -subj /CN=localhost -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE"
        ))?;
        std::fs::create_dir(dir.join("api")).unwrap();
        let listed = answer(200, "", "{\"environments\":[]}");
        std::fs::write(dir.join("api/environments"), listed).unwrap();
        let mut server = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-HTTP",
                "-cert",
                "cert.pem",
                "-key",
                "key.pem",
            ])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port =
            lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok());
        // The program blocks when its output is not read.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { server, port: port? })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_certificate_counts_only_when_the_host_trusts_its_ca() {
    if !has_program("openssl") {
        return skip("there is no openssl");
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = Tls::start(dir.path()) else {
        return skip("this openssl cannot create the certificates of the test");
    };
    let cli = Cli::on(([127, 0, 0, 1], 9).into());
    let url = format!("https://localhost:{}", tls.port);
    let launch = cli.launch(LIST).arguments(["--url", &url]);
    launch.run("").refuses(1, ["cannot reach https://localhost", "certificate", "SSL_CERT_FILE"]);
    let trusting = launch.variable("SSL_CERT_FILE", dir.path().join("ca.pem"));
    assert_eq!(trusting.run("").json(), json!({ "environments": [] }));
    // The same server under a name that is not in its certificate.
    let url = format!("https://127.0.0.1:{}", tls.port);
    let other = cli.launch(LIST).variable("SSL_CERT_FILE", dir.path().join("ca.pem"));
    other.arguments(["--url", &url]).run("").refuses(1, ["certificate"]);
}
