//! Captures what the code under test logs, separately for each test of the process.
//!
//! The `log` crate has one logger per process, and the tests of a binary run side by side in one
//! process, each with servers that start their own threads: workers, blocking pools, the writer,
//! the database's threads. A line belongs to the test whose thread started, directly or indirectly,
//! the thread that logs it. Nothing in std reports which thread started a thread. Linux has an
//! attribute that every new thread copies from its creator and that nothing here depends on: the
//! timer slack, in nanoseconds. Each test gets its own slack, a few nanoseconds from the default.
//! Where there is no such attribute, all tests of a process share one capture.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, Once, PoisonError};

/// Identifies a test.
type TestId = u64;

/// Threads that belong to no test, such as those of the test runner; every thread on
/// systems where tests cannot be told apart.
const NO_TEST: TestId = 0;

/// What one test logs.
#[derive(Default)]
struct Capture {
    /// Lines of WARN and ERROR.
    warnings: Vec<String>,
    /// Texts of the lines of WARN and ERROR that the test announced.
    expected: Vec<String>,
    /// Whether to keep every line of every library, from TRACE up.
    keeps_all: bool,
    all: Vec<String>,
}

static CAPTURES: Mutex<BTreeMap<TestId, Capture>> = Mutex::new(BTreeMap::new());

fn with_capture<T>(test: TestId, act: impl FnOnce(&mut Capture) -> T) -> T {
    // A failed assertion in one test must not fail the others.
    let mut captures = CAPTURES.lock().unwrap_or_else(PoisonError::into_inner);
    act(captures.entry(test).or_default())
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn || with_capture(author(), |capture| capture.keeps_all)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        let is_warning = record.level() <= log::Level::Warn;
        // Lines that the program's own log never shows, at any level.
        let is_hidden = record.target().starts_with("sled") && !is_warning;
        with_capture(author(), |capture| {
            if capture.keeps_all && !is_hidden {
                capture.all.push(line.clone());
            }
            if is_warning {
                capture.warnings.push(line);
            }
        });
    }

    fn flush(&self) {}
}

/// The test that the current thread belongs to.
fn author() -> TestId {
    // The database shares these threads between all servers of the process, no matter which server
    // started them.
    match std::thread::current().name() {
        Some(name) if name.starts_with("sled-io") => NO_TEST,
        _ => slack::test(),
    }
}

/// Starts capturing. Must be called on the test's own thread before anything can be logged.
pub(crate) fn listen() -> TestId {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
    slack::mark()
}

/// Keeps every line that this test logs from now on, of every library and from TRACE up.
pub fn keep_log() {
    let test = listen();
    with_capture(test, |capture| capture.keeps_all = true);
    log::set_max_level(log::LevelFilter::Trace);
}

/// Returns the lines since [`keep_log`].
pub fn kept_log() -> Vec<String> {
    with_capture(listen(), |capture| capture.all.clone())
}

/// Announces that this test may log lines of WARN or ERROR that contain `text`.
pub fn expect_log(text: &str) {
    with_capture(listen(), |capture| capture.expected.push(text.to_owned()));
}

/// Fails if this test has logged a line of WARN or ERROR that it did not announce.
#[track_caller]
pub(crate) fn nothing_unexpected() {
    let test = listen();
    let captures = CAPTURES.lock().unwrap_or_else(PoisonError::into_inner);
    let all_expected: Vec<_> = captures.values().flat_map(|capture| &capture.expected).collect();
    let mut odd = Vec::new();
    for (author, capture) in captures.iter() {
        // A line without a test could be from any test, so any test may have announced it.
        let expected: Vec<_> = match *author {
            NO_TEST => all_expected.clone(),
            other if other == test => capture.expected.iter().collect(),
            _ => continue,
        };
        odd.extend(
            capture
                .warnings
                .iter()
                .filter(|line| !expected.iter().any(|text| line.contains(text.as_str()))),
        );
    }
    assert!(odd.is_empty(), "unexpected lines in the log: {odd:#?}");
}

#[cfg(target_os = "linux")]
mod slack {
    use std::num::NonZeroU64;
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Cell, NO_TEST, TestId};

    /// The slacks that mark tests, just above the kernel's default of 50 microseconds.
    const MARKS: Range<u64> = 50_001..60_000;

    static NEXT: AtomicU64 = AtomicU64::new(MARKS.start);

    thread_local! {
        /// The slack as read before: reading it for each logged line would be slow.
        static TEST: Cell<Option<TestId>> = const { Cell::new(None) };
    }

    pub(super) fn test() -> TestId {
        // Threads also log while they end.
        let known = TEST.try_with(Cell::get).ok().flatten();
        known.unwrap_or_else(|| {
            let slack = rustix::thread::current_timer_slack().unwrap_or(NO_TEST);
            let test = if MARKS.contains(&slack) { slack } else { NO_TEST };
            let _ = TEST.try_with(|known| known.set(Some(test)));
            test
        })
    }

    pub(super) fn mark() -> TestId {
        if test() == NO_TEST {
            let mark = NEXT.fetch_add(1, Ordering::Relaxed);
            assert!(MARKS.contains(&mark), "more tests than timer slacks");
            let marked = rustix::thread::set_current_timer_slack(NonZeroU64::new(mark));
            TEST.set(Some(marked.map_or(NO_TEST, |()| mark)));
        }
        test()
    }
}

#[cfg(not(target_os = "linux"))]
mod slack {
    use super::{NO_TEST, TestId};

    pub(super) fn test() -> TestId {
        NO_TEST
    }

    pub(super) fn mark() -> TestId {
        NO_TEST
    }
}
