//! The web console in a real browser: runs `tests/console/*.mjs` with the Node.js test runner
//! against the binary. `.ci/browser` installs what these tests need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use support::process::{binary, has_program};
use support::{skip, tier};

/// Chromium takes a core and several hundred MiB. More instances would only wait for each other,
/// and would distort each other's measurements.
static FREE: Mutex<u8> = Mutex::new(2);
static FREED: Condvar = Condvar::new();

/// Permission to run a browser while it is held.
struct Turn;

impl Turn {
    fn wait() -> Self {
        let free = FREED.wait_while(free_browsers(), |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *free_browsers() += 1;
        FREED.notify_one();
    }
}

fn free_browsers() -> MutexGuard<'static, u8> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the path of node, or an error that names what is missing.
fn node() -> Result<PathBuf, &'static str> {
    let packages = project("target/browser/node_modules");
    if !packages.join("playwright-core").exists() || !packages.join("axe-core").exists() {
        return Err("the browser's driver is not installed: .ci/browser");
    }
    if chromium().is_none() {
        return Err("Chromium is not installed: .ci/browser");
    }
    // A version in the packages is used where the system's is too old.
    let own = packages.join(".bin/node");
    match own.exists() {
        true => Ok(own),
        false if has_program("node") => Ok("node".into()),
        false => Err("node is not installed: .ci/browser"),
    }
}

fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|dir| dir.join("chromium")).find(|path| path.is_file())
}

/// Run in the default run, too; the others take minutes.
const SHORT: [&str; 2] = ["first_visit", "reveal"];

#[track_caller]
fn run(name: &str) {
    if !SHORT.contains(&name) && !tier::full_only(&format!("the console's {name}")) {
        return;
    }
    let node = match node() {
        Ok(node) => node,
        Err(reason) => return skip(reason),
    };
    let _turn = Turn::wait();
    let file = project("tests/console").join(name).with_extension("mjs");
    let output = Command::new(node)
        .args(["--test", "--test-reporter=spec"])
        .arg(&file)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COFFER_BINARY", binary())
        .env("COFFER_BROWSER_DIR", project("target/browser"))
        .env("COFFER_CHROMIUM", chromium().unwrap_or_default())
        // The tests are for the console in the binary, with the default options of node.
        .env_remove("COFFER_CONSOLE_OVERLAY")
        .env_remove("NODE_OPTIONS")
        .output()
        .expect("node can be run");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{printed}\n{errors}", file.display());
    println!("{printed}");
}

/// Defines a test for each file, and one that fails if a file has no test.
macro_rules! browser_tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_file_is_run() {
            let listed = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let entries = std::fs::read_dir(project("tests/console")).unwrap();
            let files = entries.map(|entry| entry.unwrap().path());
            let files = files.filter(|path| path.extension().is_some_and(|end| end == "mjs"));
            let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
            let names: BTreeSet<_> = names.filter(|name| name != "harness").collect();
            assert_eq!(names, listed);
        }
    };
}

browser_tests! {
    accessibility account audit canary environments first_visit import keyboard many people
    reveal screenshots secrets secrets_refusals session small_and_dark status vars watching
    workloads
}
