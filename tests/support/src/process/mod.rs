//! The real binary as a child process: with its own environment and directory, its output read line
//! by line as it arrives, and a deadline for its end. The child is killed when it is dropped.

pub mod strace;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::terminal::Terminal;
use super::{Client, Reply};

/// The program under test, which Cargo builds next to the directory of the test programs.
pub fn binary() -> &'static str {
    static BINARY: LazyLock<String> = LazyLock::new(|| {
        let test = std::env::current_exe().expect("a test program has a path");
        let built =
            test.parent().and_then(Path::parent).expect("the program is two directories down");
        let name = format!("coffer{}", std::env::consts::EXE_SUFFIX);
        built.join(name).into_os_string().into_string().expect("the path is UTF-8")
    });
    &BINARY
}

/// Longer than any step takes. A test that reaches it has found a bug.
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether `PATH` has this program.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(name).is_file())
}

/// How to start the binary.
#[derive(Clone)]
pub struct Launch {
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    data_dir: PathBuf,
}

impl Launch {
    /// `coffer` without arguments, in this directory.
    pub fn bare(directory: &Path) -> Self {
        Self {
            wrapper: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            directory: Some(directory.to_owned()),
            data_dir: directory.join("data"),
        }
    }

    /// A server on a data directory and a free port. It runs in the data directory's parent, which
    /// has no `config.toml`.
    pub fn on(data_dir: &Path) -> Self {
        let launch = Self::bare(data_dir.parent().unwrap());
        let launch = launch.arguments(["serve", "--listen", "127.0.0.1:0"]).argument("--data-dir");
        Self { data_dir: data_dir.to_owned(), ..launch.argument(data_dir) }
    }

    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn arguments<const N: usize>(self, arguments: [&str; N]) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Puts words in front of the binary, such as a tracer.
    pub fn under<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.wrapper = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// The command, in an environment that has only `PATH` and the variables that were set.
    fn command(&self) -> Command {
        let mut words = self.wrapper.clone();
        words.push(binary().into());
        words.extend_from_slice(&self.arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it without waiting.
    #[track_caller]
    pub fn spawn(&self) -> Running {
        let mut child = self.command().spawn().expect("the binary can be run");
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        let pid = child.id();
        Running { child, pid, stdout, stderr }
    }

    /// Runs it to its end, with this text on stdin.
    #[track_caller]
    pub fn run(&self, input: &str) -> Ended {
        let mut child =
            self.command().stdin(Stdio::piped()).spawn().expect("the binary can be run");
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        // A command that does not read stdin may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let pid = child.id();
        Running { child, pid, stdout, stderr }.wait()
    }

    /// Runs it in a terminal.
    #[track_caller]
    pub fn in_terminal(&self) -> Terminal {
        Terminal::run(&self.command())
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|ended| panic!("the server did not start: {ended:#?}"))
    }

    /// Starts it and waits until it listens or ends.
    #[track_caller]
    pub fn try_start(&self) -> Result<Server, Ended> {
        self.spawn().listening(&self.data_dir)
    }

    /// Starts it and expects it to end before it listens.
    #[track_caller]
    pub fn fails(&self) -> Ended {
        let ended = match self.try_start() {
            Ok(server) => panic!("the server started: {:?}", server.stop()),
            Err(ended) => ended,
        };
        assert_ne!(ended.code, Some(0), "{ended:#?}");
        ended
    }

    /// Starts it and expects an error that the user can fix: exit code 2 and one line on
    /// stderr with all of these words.
    #[track_caller]
    pub fn complains<const N: usize>(&self, words: [&str; N]) -> Ended {
        let ended = self.fails();
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        ended.says(words);
        ended
    }
}

/// A child that may or may not listen.
pub struct Running {
    child: Child,
    /// The process id of the server itself, not of the program that runs it.
    pid: u32,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Running {
    /// Waits for the line that says "ready".
    #[track_caller]
    pub fn listening(self, data_dir: &Path) -> Result<Server, Ended> {
        let ready = |line: &str| line.trim_end().strip_prefix("listening on http://").is_some();
        let Some(line) = self.stdout.wait_for(ready) else {
            return Err(self.wait());
        };
        let address = line.trim_end()["listening on http://".len()..].parse().unwrap();
        Ok(Server { address, data_dir: data_dir.to_owned(), running: self })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the server itself.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap();
        kill_process(pid, signal).expect("the server process exists");
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        // Both close when the child ends, so this waits for an event.
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let status = self.child.wait().unwrap();
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Ended { code: status.code(), signal, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            if self.pid != self.child.id() {
                let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A child that is listening.
pub struct Server {
    pub address: SocketAddr,
    pub data_dir: PathBuf,
    pub running: Running,
}

impl Server {
    /// A client of the first admin.
    pub fn admin(&self) -> Client {
        Client::new(self.address, Some(self.token()))
    }

    /// The first admin's token.
    pub fn token(&self) -> String {
        let path = self.data_dir.join("bootstrap-token");
        std::fs::read_to_string(path).expect("the first start wrote the token").trim().to_owned()
    }

    /// Sends SIGTERM and expects a clean exit.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.end_by(Signal::TERM)
    }

    /// Sends this signal and expects a clean exit.
    #[track_caller]
    pub fn end_by(self, signal: Signal) -> Ended {
        self.running.signal(signal);
        let ended = self.running.wait();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended
    }

    /// Kills the server without warning.
    #[track_caller]
    pub fn kill(self) -> Ended {
        self.running.signal(Signal::KILL);
        let ended = self.running.wait();
        assert_eq!(ended.signal, Some(9), "{ended:#?}");
        ended
    }
}

/// The output and exit status of a child.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Fails unless the output is one line on stderr with all of these words.
    #[track_caller]
    pub fn says<const N: usize>(&self, words: [&str; N]) {
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "not one line: {self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        assert_eq!(self.stdout, "", "{self:#?}");
    }

    /// Fails if this text is anywhere in the output.
    #[track_caller]
    pub fn keeps_quiet_about(&self, secret: &str) {
        assert!(secret.len() >= 8, "too short to search for");
        for output in [&self.stdout, &self.stderr] {
            assert!(!output.contains(secret), "{secret:?} was printed: {output}");
        }
    }
}

/// Output that is read as it arrives.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Output>, Condvar)>);

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads in its own thread, so that the writer never has to wait.
    pub fn read(source: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let into = lines.clone();
        std::thread::spawn(move || into.fill(source));
        lines
    }

    fn fill(&self, source: impl Read) {
        let mut source = BufReader::new(source);
        loop {
            let mut line = Vec::new();
            let ended = !matches!(source.read_until(b'\n', &mut line), Ok(1..));
            let (output, changed) = &*self.0;
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            if ended {
                output.ended = true;
            } else {
                output.lines.push(String::from_utf8_lossy(&line).into_owned());
            }
            changed.notify_all();
            if ended {
                return;
            }
        }
    }

    /// Waits for the first line that matches. `None` if the output ended without one.
    #[track_caller]
    pub fn wait_for(&self, so: impl Fn(&str) -> bool) -> Option<String> {
        let mut seen = 0;
        self.wait(|output| {
            let found = output.lines[seen..].iter().find(|line| so(line)).cloned();
            seen = output.lines.len();
            (found.is_some() || output.ended).then_some(found)
        })
    }

    /// The output so far.
    pub fn so_far(&self) -> String {
        self.0.0.lock().unwrap().lines.concat()
    }

    /// All output, once it has ended.
    #[track_caller]
    pub fn all(&self) -> String {
        self.wait(|output| output.ended.then(|| output.lines.concat()))
    }

    #[track_caller]
    fn wait<T>(&self, mut what: impl FnMut(&Output) -> Option<T>) -> T {
        let (output, changed) = &*self.0;
        let until = Instant::now() + DEADLINE;
        let mut output = output.lock().unwrap();
        loop {
            if let Some(found) = what(&output) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "timed out; output so far: {}", output.lines.concat());
            output = changed.wait_timeout(output, left).unwrap().0;
        }
    }
}

/// Sends one request in pieces, on a connection that stays open.
pub struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    pub fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    pub fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    pub fn answer(&mut self) -> std::io::Result<Reply> {
        Reply::read(&mut self.reader, false)
    }
}

/// Builds a request with the caller's own request id, for a server that may go away before it
/// answers.
pub fn request(token: &str, id: &str, method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         X-Request-Id: {id}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
