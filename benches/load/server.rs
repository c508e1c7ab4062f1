//! The servers under measurement, each in its own process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::{Connection, Target};

const BARE: &str = "COFFER_BENCH_BARE_SERVER";

/// The real binary on its own data directory.
pub struct Coffer {
    child: Child,
    address: SocketAddr,
    token: String,
    runs: AtomicUsize,
}

impl Coffer {
    /// Starts the server and returns when it is ready.
    pub fn start(data_dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        // The limiter runs, but its limit is never reached.
        command.env("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "10000000");
        // Ignores any configuration in the directory that the benchmark is run from.
        command.current_dir(data_dir.parent().expect("a temporary directory"));
        let (child, address) = spawn(command);
        let token = std::fs::read_to_string(data_dir.join("bootstrap-token")).expect("the token");
        Self { child, address, token: token.trim().to_owned(), runs: AtomicUsize::new(0) }
    }

    /// Returns a number that no caller has had before.
    pub fn next_run(&self) -> usize {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", self.token)
            .into()
    }

    pub fn post(&self, path: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .into()
    }

    /// Creates a secret and returns its id.
    pub fn create(&self, key: &str) -> String {
        let body = format!(r#"{{"key":"{key}","value":"postgres://app:hunter2@db.internal/app"}}"#);
        let request = self.post("/api/environments/development/secrets", &body);
        let mut connection = Connection::open(self.address);
        let answer: serde_json::Value =
            serde_json::from_slice(connection.request(&request)).expect("JSON");
        answer["secret"]["id"].as_str().expect("an id").to_owned()
    }

    pub fn resident_kib(&self) -> u64 {
        let status = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// Shuts the server down cleanly.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "kill -TERM");
        self.child.wait().expect("the server exits");
    }
}

impl Target for Coffer {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Coffer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This same program, running as a bare actix-web server.
pub struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.env(BARE, "1");
        let (child, address) = spawn(command);
        Self { child, address }
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into()
    }
}

impl Target for Bare {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn is_bare_server() -> bool {
    std::env::var_os(BARE).is_some()
}

pub fn run_bare() {
    use actix_web::{App, HttpResponse, HttpServer, web};

    let body = format!("{{\"padding\":\"{}\"}}", "x".repeat(286));
    assert_eq!(body.len(), 300);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("its address"));
    let server = HttpServer::new(move || {
        let body = body.clone();
        let handler = move || {
            let body = body.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(body) }
        };
        App::new().route("/", web::get().to(handler))
    });
    let server = server.workers(2).listen(listener).expect("a listening server").run();
    actix_web::rt::System::new().block_on(server).expect("a server that runs");
}

/// Starts a server and reads its address from the "ready" line.
fn spawn(mut command: Command) -> (Child, SocketAddr) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let stdout = child.stdout.take().expect("a pipe");
    let address = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listening on http://")?.parse().ok())
        .expect("the listening line");
    (child, address)
}
