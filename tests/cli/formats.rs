//! Each output format, as the programs it is for read it: bash and sh, python-dotenv, node's
//! dotenv, systemd's own parser, docker's client, PyYAML, js-yaml, Python's json, and coffer
//! itself.
//!
//! One start of a program reads many values. Half of them are generated in each run from the
//! characters that formats get wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use coffer::formats::{self, Format, Heading, InputFormat};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::process::has_program;
use support::skip;

/// Values that every format must hold: no line breaks, no NUL.
const FIT_EVERYWHERE: [&str; 19] = [
    "plain",
    " blanks at the ends ",
    "\ttab\t",
    "=leading",
    "it's",
    "say \"hi\"",
    "#hash # hash",
    "a\\b\\n",
    "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
    "$HOME $(id) `id` $$ $1 !x",
    "${",
    "postgres://u:p%40@h:5432/d?a=b&c=d",
    "{\"json\": [1, \"it's\", null]}",
    "ünïcödé 日本語 \u{1f511}",
    "\u{a0}\u{85}\u{2028}\u{feff}",
    "yes",
    "~",
    "0o17",
    "-----BEGIN",
];

/// Values that some formats cannot hold and others must.
const ODD: [&str; 14] = [
    "",
    "a\nb",
    "-----BEGIN KEY-----\nMIIE+/=\n-----END KEY-----\n",
    "\n",
    "a\r\nb\r",
    "\u{0}",
    "'\"`",
    "'\"#\n",
    "trailing \\",
    "\\\\ \\' \\\"",
    "${A} ${A:-b}",
    "\u{7f}\u{1b}[0m\u{1}",
    "\u{fffe}\u{1ffff}",
    "# comment\nKEY=value\n'",
];

fn drawn(runner: &mut TestRunner) -> Vec<String> {
    let tricky = "['\"`$ {}#=\\\\\n\r\tabn1!&*|;():%@,<>~?-]{0,10}";
    let blanks = "[ \u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{b}\u{c}'\"#x]{0,6}";
    let any = prop::collection::vec(any::<char>(), 0..8).prop_map(|all| all.into_iter().collect());
    let strategy = prop_oneof![
        3 => proptest::string::string_regex(tricky).unwrap(),
        1 => proptest::string::string_regex(blanks).unwrap(),
        1 => any,
    ];
    (0..400).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

fn heading() -> Heading<'static> {
    // The second line would end a comment, or continue it on the line below.
    Heading { comment: vec!["first".to_owned(), "x\r\nK0=\u{2028}bad 'q \\".to_owned()], name: "x" }
}

/// All values that a format holds, in one text. Checks that it holds everything it must.
struct Batch {
    values: BTreeMap<String, String>,
    text: String,
}

impl Batch {
    fn of(format: Format) -> Self {
        let mut all: Vec<String> = FIT_EVERYWHERE.map(str::to_owned).to_vec();
        all.extend(ODD.map(str::to_owned));
        all.extend(drawn(&mut TestRunner::default()));
        let holds = |value: &str| formats::write(format, &[("K", value)], &heading()).is_ok();
        for value in FIT_EVERYWHERE {
            assert!(holds(value), "{format:?} does not hold {value:?}");
        }
        let values: BTreeMap<_, _> = all
            .into_iter()
            .enumerate()
            .filter(|(_, value)| holds(value))
            .map(|(index, value)| (format!("K{index}"), value))
            .collect();
        let pairs: Vec<_> = values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let text = formats::write(format, &pairs, &heading()).unwrap().to_string();
        Self { values, text }
    }

    fn file(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.text.as_bytes()).unwrap();
        file
    }

    #[track_caller]
    fn is(&self, reader: &str, read: &BTreeMap<String, String>) {
        for (key, value) in &self.values {
            assert_eq!(read.get(key), Some(value), "{reader} reads {key}={value:?} differently");
        }
        let more: Vec<_> = read.keys().filter(|key| !self.values.contains_key(*key)).collect();
        assert!(more.is_empty(), "{reader} also finds {more:?}");
    }
}

/// The output of a program: one JSON object.
#[track_caller]
fn object_from(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn below_target(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/readers").join(path);
    path.exists().then_some(path)
}

fn python(script: &str, file: &Path) -> Option<BTreeMap<String, String>> {
    let python = below_target("python/bin/python")?;
    Some(object_from(Command::new(python).args(["-c", script]).arg(file)))
}

fn node(script: &str, file: &Path) -> Option<BTreeMap<String, String>> {
    let modules = below_target("node/node_modules").filter(|_| has_program("node"))?;
    let mut command = Command::new("node");
    Some(object_from(command.args(["-e", script]).arg(file).env("NODE_PATH", modules)))
}

const NO_READERS: &str = "the readers are not installed: .ci/readers";

#[test]
fn coffer_reads_what_it_writes() {
    let forms = [
        (Format::Dotenv, InputFormat::Dotenv),
        (Format::Json, InputFormat::Json),
        (Format::Yaml, InputFormat::Yaml),
        (Format::K8sSecret, InputFormat::K8sSecret),
    ];
    for (format, source) in forms {
        let batch = Batch::of(format);
        assert_eq!(InputFormat::detect(&batch.text), Some(source));
        let read = source.read(&batch.text).unwrap_or_else(|bad| panic!("{source:?}: {bad}"));
        let pairs = read.into_list().into_iter();
        let read = pairs.map(|entry| (entry.key.to_string(), entry.value.to_string())).collect();
        batch.is("coffer", &read);
    }
}

/// Formats made for any text hold any text. The others hold whatever all their readers agree on.
#[test]
fn only_what_cannot_be_held_is_refused() {
    let holds = |format, value: &str| formats::write(format, &[("K", value)], &heading()).is_ok();
    for value in ODD {
        for format in [Format::Json, Format::Yaml, Format::K8sSecret] {
            assert!(holds(format, value), "{format:?} {value:?}");
        }
        let nul = value.contains('\0');
        assert_eq!(holds(Format::Shell, value), !nul, "{value:?}");
        let odd = value.contains(['\u{fffe}', '\u{1ffff}']);
        assert_eq!(holds(Format::Systemd, value), !nul && !odd, "{value:?}");
        let broken = value.contains('\n') || value.ends_with('\r');
        assert_eq!(holds(Format::DockerEnv, value), !nul && !broken, "{value:?}");
        let torn = ["'\"#\n", "${A} ${A:-b}", "\\\\ \\' \\\"", "'\"`"].contains(&value);
        let plain = ["\\\\ \\' \\\""].contains(&value);
        assert_eq!(holds(Format::Dotenv, value), !nul && (!torn || plain), "{value:?}");
    }
}

#[test]
fn shells_read_what_is_written_for_them() {
    let batch = Batch::of(Format::Shell);
    let file = batch.file();
    for shell in [&["bash", "--posix"][..], &["bash"], &["sh"]] {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", ". \"$0\" && exec env -0"]).arg(file.path());
        let path = std::env::var_os("PATH").unwrap();
        let output = command.env_clear().env("PATH", path).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{shell:?}: {errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
        // The shell has its own variables.
        let ours = pairs.filter(|(key, _)| key.starts_with('K'));
        batch.is(shell[0], &ours.map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
    }
}

#[test]
fn node_and_python_read_env_files_alike() {
    let batch = Batch::of(Format::Dotenv);
    let file = batch.file();
    let by_node = "const d = require('dotenv'), t = require('fs').readFileSync(process.argv[1]);
        console.log(JSON.stringify(d.parse(t)))";
    let by_fast_node = by_node.replace("d.parse(t)", "d.parse(t, {fast: true})");
    let by_python = "import sys, json, dotenv
print(json.dumps(dotenv.dotenv_values(sys.argv[1])))";
    let readers = [
        ("node's dotenv", node(by_node, file.path())),
        ("node's dotenv, fast", node(&by_fast_node, file.path())),
        ("python-dotenv", python(by_python, file.path())),
    ];
    for (reader, read) in readers {
        let Some(read) = read else { return skip(NO_READERS) };
        batch.is(reader, &read);
    }
}

#[test]
fn parsers_of_yaml_and_json_read_strings() {
    let yaml = "import sys, json, yaml
print(json.dumps(yaml.safe_load(open(sys.argv[1], 'rb'))))";
    let k8s = "import sys, json, yaml, base64
data = yaml.safe_load(open(sys.argv[1], 'rb'))['data']
print(json.dumps({k: base64.b64decode(v).decode() for k, v in data.items()}))";
    let json = "import sys, json
print(json.dumps(json.load(open(sys.argv[1], 'rb'))))";
    for (format, script) in [(Format::Yaml, yaml), (Format::K8sSecret, k8s), (Format::Json, json)] {
        let batch = Batch::of(format);
        let Some(read) = python(script, batch.file().path()) else { return skip(NO_READERS) };
        batch.is("Python", &read);
    }
    let script =
        "const y = require('js-yaml'), t = require('fs').readFileSync(process.argv[1], 'utf8');
        console.log(JSON.stringify(y.load(t)))";
    let batch = Batch::of(Format::Yaml);
    let Some(read) = node(script, batch.file().path()) else { return skip(NO_READERS) };
    batch.is("js-yaml", &read);
}

/// Keys that readers of YAML 1.1 parse as booleans, numbers or null.
#[test]
fn keys_of_yaml_stay_strings() {
    let pairs = [("NO", "no"), ("Y", "y"), ("NULL", "null"), ("TRUE", "1_0"), ("ON", "0x1F")];
    let text = formats::write(Format::Yaml, &pairs, &Heading::default()).unwrap();
    let values = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let batch = Batch { values, text: text.to_string() };
    let script = "import sys, json, yaml
print(json.dumps(yaml.safe_load(open(sys.argv[1], 'rb'))))";
    let Some(read) = python(script, batch.file().path()) else { return skip(NO_READERS) };
    batch.is("PyYAML", &read);
}

/// `load_env_file` of libsystemd-shared is what reads an `EnvironmentFile=`.
#[test]
fn systemd_reads_environment_files() {
    let find = "import glob; print((glob.glob('/usr/lib/*/systemd/libsystemd-shared-*.so')
 + glob.glob('/usr/lib/systemd/libsystemd-shared-*.so') + [''])[0])";
    let Some(python_program) = below_target("python/bin/python") else { return skip(NO_READERS) };
    let found = Command::new(python_program).args(["-c", find]).output().unwrap().stdout;
    if String::from_utf8_lossy(&found).trim().is_empty() {
        return skip("there is no libsystemd-shared");
    }
    let script = "import sys, json, glob, ctypes
library = (glob.glob('/usr/lib/*/systemd/libsystemd-shared-*.so') + glob.glob('/usr/lib/systemd/libsystemd-shared-*.so'))[0]
load = ctypes.CDLL(library).load_env_file
load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]
found = ctypes.POINTER(ctypes.c_char_p)()
code = load(None, sys.argv[1].encode(), ctypes.byref(found))
assert code >= 0, code
pairs, index = {}, 0
while found[index]:
    key, value = found[index].decode().split('=', 1)
    pairs[key] = value
    index += 1
print(json.dumps(pairs))";
    let batch = Batch::of(Format::Systemd);
    let read = python(script, batch.file().path()).unwrap();
    batch.is("systemd", &read);
}

/// The rules in docker's documentation and source: a line is a pair, leading blanks and lines with
/// `#` are ignored, and the value is everything after `=`.
fn docker_rules(text: &str) -> BTreeMap<String, String> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    lines
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn docker_reads_env_files_by_its_rules() {
    let batch = Batch::of(Format::DockerEnv);
    batch.is("docker's rules", &docker_rules(&batch.text));
}

/// One request of docker's client: its first line and body.
fn docker_request(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// The environment that docker's own client sends to a daemon. The test acts as the daemon and runs
/// nothing.
fn docker_asks_for(file: &Path) -> BTreeMap<String, String> {
    let daemon = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = daemon.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        for stream in daemon.incoming() {
            let mut stream = stream.unwrap();
            let Some((first, body)) = docker_request(&stream) else { continue };
            let create = first.contains("/containers/create");
            let (status, answer) = if create {
                ("201 Created", r#"{"Id":"x","Warnings":[]}"#)
            } else {
                ("200 OK", "OK")
            };
            // A response to HEAD has no body.
            let (length, answer) =
                if first.starts_with("HEAD") { (0, "") } else { (answer.len(), answer) };
            let head = "Api-Version: 1.41\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{answer}"
            );
            if create {
                return body;
            }
        }
        unreachable!("a listener never stops")
    });
    let mut command = Command::new("docker");
    command.args(["create", "--pull", "never", "--env-file"]).arg(file).arg("image");
    command.env("DOCKER_HOST", format!("tcp://{address}")).env_remove("DOCKER_CONTEXT");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let body: serde_json::Value = serde_json::from_slice(&asked.join().unwrap()).unwrap();
    let pair = |pair: &serde_json::Value| {
        let (key, value) = pair.as_str().unwrap().split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    body["Env"].as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn dockers_client_reads_env_files() {
    if !has_program("docker") {
        return skip("there is no docker client");
    }
    let batch = Batch::of(Format::DockerEnv);
    batch.is("docker", &docker_asks_for(batch.file().path()));
}

/// The longest line that docker accepts is written; one byte more is refused.
#[test]
fn dockers_longest_line() {
    let holds = |length: usize| {
        let value = "x".repeat(length);
        formats::write(Format::DockerEnv, &[("K0", &value)], &Heading::default())
            .ok()
            .map(|text| (value, text.to_string()))
    };
    let longest = (1..=64 * 1024).rev().find_map(holds).unwrap();
    assert!(longest.0.len() > 65_500);
    if !has_program("docker") {
        return skip("there is no docker client");
    }
    let batch = Batch { values: [("K0".to_owned(), longest.0)].into(), text: longest.1 };
    batch.is("docker", &docker_asks_for(batch.file().path()));
}
