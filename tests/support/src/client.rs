//! A small HTTP/1.1 client that sends exactly the given bytes, including malformed requests, which
//! a well-behaved library would refuse to send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any response takes. A test that reaches it has found a bug.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests, each on its own connection.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl Client {
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token, headers: Vec::new() }
    }

    /// The same client, with one more header on every request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn head(&self, path: &str) -> Reply {
        self.send("HEAD", path, None)
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send("PATCH", path, Some(("application/json", body.to_string().as_bytes())))
    }

    /// Sends a request with any method, an optional body and its content type (empty: no header).
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some((content_type, body)) = body {
            if !content_type.is_empty() {
                head += &format!("Content-Type: {content_type}\r\n");
            }
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "Connection: close\r\n\r\n";
        let bytes = [head.as_bytes(), body.map_or(&[][..], |(_, body)| body)].concat();
        self.raw(method, &bytes)
    }

    /// Sends exactly these bytes. `method` only decides whether the response has a body.
    pub fn raw(&self, method: &str, bytes: &[u8]) -> Reply {
        self.try_raw(method, bytes).expect("an answer")
    }

    /// Sends exactly these bytes to a server that may go away during the request.
    pub fn try_raw(&self, method: &str, bytes: &[u8]) -> std::io::Result<Reply> {
        self.counted(method, bytes, &mut 0)
    }

    /// Sends exactly these bytes, and counts in `came` how many bytes of the response arrive.
    pub fn counted(&self, method: &str, bytes: &[u8], came: &mut usize) -> std::io::Result<Reply> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut writer = stream.try_clone()?;
        // A server that refuses early may close the connection before it has read everything. Its
        // response is what counts.
        let sent = writer.write_all(bytes);
        let mut reader = BufReader::new(Counted { stream, came });
        Reply::read(&mut reader, method == "HEAD").or_else(|error| {
            sent?;
            Err(error)
        })
    }
}

struct Counted<'a> {
    stream: TcpStream,
    came: &'a mut usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        *self.came += count;
        Ok(count)
    }
}

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one response from a connection.
    pub fn read(reader: &mut impl BufRead, is_head: bool) -> std::io::Result<Self> {
        let invalid =
            |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        let status_line = line(reader)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("no header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Self { status, headers, body: Vec::new() };
        if is_head {
            return Ok(reply);
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = chunked(reader)?;
            return Ok(reply);
        }
        match reply.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => {
                reply.body = vec![0; length];
                reader.read_exact(&mut reply.body)?;
            }
            None => {
                reader.read_to_end(&mut reply.body)?;
            }
        }
        Ok(reply)
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// Returns the body; fails unless the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// Returns the error object; fails unless the status and code are these.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(body.get("error").is_none(), "{body}");
        assert_eq!(body["requestId"].as_str(), self.header("x-request-id"), "{body}");
        body
    }
}

/// Decodes a chunked body (RFC 9112, section 7.1). A body without its last chunk is an error.
fn chunked(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = line(reader)?;
        let length = usize::from_str_radix(&length, 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "no chunk"))?;
        let start = body.len();
        body.resize(start + length, 0);
        reader.read_exact(&mut body[start..])?;
        line(reader)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
