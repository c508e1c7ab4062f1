//! Load generator: threads that each send one request at a time over a keep-alive connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A server to send requests to.
pub trait Target: Sync {
    fn address(&self) -> SocketAddr;
}

pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let writer = TcpStream::connect(address).expect("the server listens");
        writer.set_nodelay(true).expect("a TCP option");
        let reader =
            BufReader::with_capacity(64 << 10, writer.try_clone().expect("a second handle"));
        Self { reader, writer, line: Vec::new(), body: Vec::new() }
    }

    /// Sends a request and reads its answer, which must be a success.
    pub fn request(&mut self, request: &[u8]) -> &[u8] {
        let status = self.try_request(request);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&self.body));
        &self.body
    }

    pub fn try_request(&mut self, request: &[u8]) -> u16 {
        self.writer.write_all(request).expect("a connection that stays open");
        let status = self.head_line();
        let status = String::from_utf8_lossy(&status[9..12]).parse().expect("a status");
        let mut length = 0;
        loop {
            let line = self.head_line();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix(b"content-length: ") {
                length = String::from_utf8_lossy(value).parse().expect("a length");
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).expect("the whole body");
        status
    }

    fn head_line(&mut self) -> &[u8] {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line).expect("a line of the head");
        self.line.trim_ascii_end()
    }
}

/// How many threads, and for how long.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub time: Duration,
}

impl Load {
    /// Returns requests per second. `request` gets the thread's number and the number of requests
    /// that this thread has sent so far.
    pub fn run(
        self,
        target: &impl Target,
        request: impl Fn(usize, usize) -> Vec<u8> + Sync,
    ) -> f64 {
        self.run_up_to(usize::MAX, target, request)
    }

    /// Sends requests as `run` does, and stops after `most` of them.
    pub fn run_up_to(
        self,
        most: usize,
        target: &impl Target,
        request: impl Fn(usize, usize) -> Vec<u8> + Sync,
    ) -> f64 {
        let left = AtomicUsize::new(most);
        let begin = Instant::now();
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|thread| {
                    let (left, request) = (&left, &request);
                    scope.spawn(move || {
                        let mut connection = Connection::open(target.address());
                        let mut count = 0;
                        while begin.elapsed() < self.time && take(left) {
                            connection.request(&request(thread, count));
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no request fails")).collect()
        });
        counts.iter().sum::<usize>() as f64 / begin.elapsed().as_secs_f64()
    }
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
