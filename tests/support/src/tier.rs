//! Which tests run, and at what length: `cargo test` runs each test in a short form,
//! `COFFER_TESTS=full` runs every case and every loop at full length.

use std::fmt::Display;
use std::io::Write;

use crate::rng::Rng;

/// Whether every test runs at full length.
pub fn is_full() -> bool {
    std::env::var_os("COFFER_TESTS").is_some_and(|tier| tier == "full")
}

/// How often a test repeats something: `full` times in the full run, `short` otherwise.
pub fn rounds<T>(full: T, short: T) -> T {
    if is_full() { full } else { short }
}

/// The step numbers at which a test interrupts an operation, one run per step, up to `most`. The
/// full run takes every step. The default run takes each `stride`-th from a random one on, so that
/// many runs together take all of them.
pub fn steps(most: u64, stride: u64, rng: &mut Rng) -> impl Iterator<Item = u64> + use<> {
    let stride = usize::try_from(rounds(1, stride)).expect("a small number");
    (rng.below(stride) as u64..most).step_by(stride)
}

/// Returns whether this is the full run. In the default run it prints the name of the test, which
/// then has to return because it has no short form.
#[must_use]
pub fn full_only(name: &str) -> bool {
    if !is_full() {
        // Not `eprintln!`: that is captured, and the reader must see what did not run.
        let _ = writeln!(std::io::stderr(), "not in the default run: {name} (COFFER_TESTS=full)");
    }
    is_full()
}

/// Prints why a test cannot run on this machine. In the full run that is a failure,
/// unless `COFFER_TESTS_WITHOUT` names what is missing.
pub fn skip(reason: impl Display) {
    let reason = reason.to_string();
    let without = std::env::var("COFFER_TESTS_WITHOUT").unwrap_or_default();
    // `.ci/run` has already checked: the kernel does not offer it, and no package can add it.
    if without.split(' ').any(|one| !one.is_empty() && reason.to_lowercase().contains(one)) {
        let _ = writeln!(std::io::stderr(), "without{without}, not run: {reason}");
        return;
    }
    assert!(!is_full(), "cannot run: {reason}");
    // Not `eprintln!`: that is captured, and the reader must see every skip.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
