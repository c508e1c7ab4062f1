//! The `coffer` binary: parse the arguments, run, report, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    coffer::cli::main()
}
