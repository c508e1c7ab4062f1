//! A request body, as read by every route that takes one.
#![no_main]

use std::sync::{Arc, OnceLock};

use coffer::server::serve::{ServeOptions, prepare};
use coffer::config::{Config, Variables};
use coffer::http::{State, fuzzing};
use libfuzzer_sys::fuzz_target;

/// The limits that the routes apply to a body.
fn state() -> &'static State {
    static STATE: OnceLock<Arc<State>> = OnceLock::new();
    STATE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory can be made").keep();
        let mut config = Config::default();
        config.server.data_dir = dir.join("data");
        config.server.listen = ([127, 0, 0, 1], 0).into();
        let prepared = prepare(&config, &Variables::from_pairs([]), ServeOptions::default());
        let state = prepared.expect("an empty database opens").state();
        // The open files stay accessible to the process; their names are not needed.
        let _ = std::fs::remove_dir_all(dir);
        state
    })
}

fuzz_target!(|bytes: &[u8]| fuzzing::body(state(), bytes));
