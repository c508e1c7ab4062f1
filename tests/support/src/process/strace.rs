//! The real binary under `strace`: the order of its system calls, and system calls that are slow or
//! fail on demand.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::{Ended, Launch, Lines, Running, Server, binary, has_program};

/// The recorded calls: those on the database, the directories and the sockets.
const RECORDED: &str = "trace=execve,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,\
     mkdir,mkdirat,rename,renameat,renameat2,pwrite64,fsync,fdatasync,sync_file_range";

/// The arguments that run the binary under strace, or the reason why that is not possible.
///
/// The server makes itself non-dumpable, so an unprivileged strace cannot read its strings. In its
/// own user namespace it can.
pub fn words() -> Result<Vec<String>, String> {
    static WORDS: OnceLock<Result<Vec<String>, String>> = OnceLock::new();
    WORDS.get_or_init(find_words).clone()
}

fn find_words() -> Result<Vec<String>, String> {
    if !has_program("strace") {
        return Err("there is no strace".to_owned());
    }
    let mut why = String::new();
    for words in [&["strace"][..], &["unshare", "--map-root-user", "strace"]] {
        // Fails after the server has made itself non-dumpable; the name must be readable.
        let output = Command::new(words[0])
            .args(&words[1..])
            .args(["-f", "-e", "trace=openat", binary(), "--config", "no-such-file.toml"])
            .env_remove("COFFER_CONFIG")
            .output();
        match output {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                if text.contains("\"no-such-file.toml\"") {
                    return Ok(words.iter().map(|&word| word.to_owned()).collect());
                }
                why = text.lines().take(3).collect::<Vec<_>>().join("; ");
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(format!("strace cannot look into the server here: {why}"))
}

/// A traced server.
pub struct Traced {
    pub server: Server,
    /// The trace, as strace writes it.
    pub trace: Lines,
}

impl Traced {
    /// Shuts the server down cleanly and returns its system calls.
    #[track_caller]
    pub fn stop(self) -> (Ended, Vec<Call>) {
        let ended = self.server.stop();
        (ended, calls(&self.trace.all()))
    }
}

/// Starts a server under strace, with more arguments for strace.
#[track_caller]
pub fn start(launch: &Launch, words: &[String], more: &[&str]) -> Traced {
    let (running, trace) = spawn(launch, words, more);
    match running.listening(&launch.data_dir) {
        Ok(server) => Traced { server, trace },
        Err(ended) => panic!("the server did not start: {ended:#?}"),
    }
}

/// Starts a server under strace without waiting until it listens.
#[track_caller]
pub fn spawn(launch: &Launch, words: &[String], more: &[&str]) -> (Running, Lines) {
    // A named pipe, so that the trace arrives as it happens.
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("trace");
    make_pipe(&pipe);
    let mut wrapper: Vec<OsString> = words.iter().map(OsString::from).collect();
    wrapper.extend(["-f", "-y", "-s", "1000000", "-e", RECORDED].map(OsString::from));
    wrapper.extend(more.iter().map(OsString::from));
    wrapper.extend(["-o".into(), pipe.clone().into_os_string()]);
    let mut running = launch.clone().under(wrapper).spawn();
    // Blocks until strace has opened its end.
    let trace = Lines::read(std::fs::File::open(&pipe).unwrap());
    let first = trace.wait_for(|line| line.contains(" execve("));
    let first = first.unwrap_or_else(|| panic!("no trace: {}", running.stderr.all()));
    running.pid = first.split_whitespace().next().unwrap().parse().unwrap();
    (running, trace)
}

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// A system call, with the times when it began and ended, counted in lines of the trace.
#[derive(Debug, Clone)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    /// The arguments and result as strace shows them.
    pub text: String,
    pub began: usize,
    /// `None` if it never returned.
    pub ended: Option<usize>,
}

impl Call {
    /// Whether it succeeded.
    pub fn succeeded(&self) -> bool {
        let result = self.text.rsplit_once(" = ").map_or("", |(_, result)| result.trim_start());
        self.ended.is_some() && !result.starts_with(['-', '?'])
    }

    /// Whether it makes a file durable.
    pub fn syncs(&self, path: &Path) -> bool {
        let file = format!("<{}>", path.display());
        matches!(&*self.name, "fsync" | "fdatasync") && self.text.contains(&file)
    }

    /// Whether it reads the request with this id from a socket.
    pub fn receives(&self, id: &str) -> bool {
        let reads = matches!(&*self.name, "read" | "readv" | "recvfrom" | "recvmsg");
        let text = self.text.to_ascii_lowercase();
        reads && text.contains("<socket:") && text.contains(&header(id))
    }

    /// Whether it writes the response to the request with this id to a socket.
    pub fn answers(&self, id: &str) -> bool {
        let writes = matches!(&*self.name, "write" | "writev" | "sendto" | "sendmsg");
        let answer = self.text.contains("\"HTTP/1.1 ");
        writes && answer && self.text.to_ascii_lowercase().contains(&header(id))
    }

    /// Whether it writes these bytes to a file.
    pub fn writes(&self, path: &Path, bytes: &str) -> bool {
        self.name == "pwrite64"
            && self.text.contains(&format!("<{}>", path.display()))
            && self.text.contains(bytes)
    }
}

fn header(id: &str) -> String {
    format!("x-request-id: {id}\\r\\n")
}

/// The calls in a trace, in the order in which they began.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (moment, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let (Ok(thread), rest) = (thread.parse(), rest.trim_start()) else { continue };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let open = calls.iter_mut().rev().find(|call| call.thread == thread);
            let Some(open) = open.filter(|call| call.ended.is_none()) else { continue };
            open.text += resumed.split_once(" resumed>").map_or("", |(_, rest)| rest);
            open.ended = Some(moment);
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let unfinished = arguments.strip_suffix("<unfinished ...>");
        calls.push(Call {
            thread,
            name: name.to_owned(),
            text: unfinished.unwrap_or(arguments).to_owned(),
            began: moment,
            ended: unfinished.is_none().then_some(moment),
        });
    }
    calls
}
