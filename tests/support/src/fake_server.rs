//! A server that gives scripted answers and records its requests, for answers that the real one
//! does not give on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request as received.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The method and target, as in `GET /api/users`.
    pub line: String,
    /// The head, one header per line.
    pub head: String,
    pub body: String,
}

impl Heard {
    /// The value of a header, given its name in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs for as long as the test.
pub struct FakeServer {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl FakeServer {
    /// Answers each of these requests with a status and a body. Several answers to the same request
    /// are given in order, and the last one repeats. Any other request gets a 404.
    pub fn answering<const N: usize>(answers: [(&str, u16, Value); N]) -> Self {
        let answers = answers.map(|(line, status, body)| {
            let answer = answer(status, "Content-Type: application/json\r\n", &body.to_string());
            (line.to_owned(), answer)
        });
        Self::start(answers.into())
    }

    /// Answers each of these requests with a status, a `Retry-After` in seconds, and a body.
    pub fn waiting<const N: usize>(answers: [(&str, u16, u32, Value); N]) -> Self {
        let answers = answers.map(|(line, status, seconds, body)| {
            let headers = format!("Content-Type: application/json\r\nRetry-After: {seconds}\r\n");
            (line.to_owned(), answer(status, &headers, &body.to_string()))
        });
        Self::start(answers.into())
    }

    /// Answers every request with these bytes.
    pub fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        Self::start(vec![(String::new(), bytes.into())])
    }

    fn start(mut answers: Vec<(String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = hear(&stream) else { continue };
                let fits = |(line, _): &(String, Vec<u8>)| line.is_empty() || *line == request.line;
                let at = answers.iter().position(fits);
                let bytes = match at {
                    Some(at) if answers[at + 1..].iter().any(fits) => answers.remove(at).1,
                    Some(at) => answers[at].1.clone(),
                    None => {
                        answer(404, "", "{\"code\":\"NOT_FOUND\",\"message\":\"not scripted\"}")
                    }
                };
                // Record the request first, so that the test finds it once the client has its
                // answer.
                hears.lock().unwrap().push(request);
                let _ = stream.write_all(&bytes);
            }
        });
        Self { address, heard }
    }

    /// The requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Methods and targets of the requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }

    /// The one request with this method and target.
    #[track_caller]
    pub fn only(&self, line: &str) -> Heard {
        let mut found = self.heard();
        found.retain(|heard| heard.line == line);
        assert_eq!(found.len(), 1, "{line}: {:#?}", self.heard());
        found.remove(0)
    }
}

/// The bytes of an answer.
pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} x\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn hear(stream: &TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let line = next()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let mut head = Vec::new();
    while let Some(header) = next().filter(|header| !header.is_empty()) {
        head.push(header);
    }
    let mut heard = Heard { line, head: head.join("\n"), body: String::new() };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_string(&mut heard.body).ok()?;
    Some(heard)
}
