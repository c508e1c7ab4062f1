//! What the process gives up before it touches a secret.

/// Files are for their owner only; no memory lands in a core dump; other
/// processes of the same user cannot read ours (Linux).
pub(super) fn harden() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

        umask(rustix::fs::Mode::from_raw_mode(0o077));
        let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
        // A refusal leaves the limit as it was; the server works either way.
        let _ = setrlimit(Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
