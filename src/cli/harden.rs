//! What the process gives up before it touches a secret.

/// What a process had before [`harden`]: a command that takes its place gets it back.
#[derive(Debug)]
pub(super) struct Before {
    #[cfg(unix)]
    umask: rustix::fs::Mode,
    #[cfg(unix)]
    core: rustix::process::Rlimit,
}

impl Before {
    /// Gives back what was taken. Whether it can be read by others is set anew
    /// with each program.
    pub fn restore(&self) {
        #[cfg(unix)]
        {
            rustix::process::umask(self.umask);
            let _ = rustix::process::setrlimit(rustix::process::Resource::Core, self.core);
        }
    }
}

/// Files are for their owner only; no memory lands in a core dump; other
/// processes of the same user cannot read ours (Linux).
pub(super) fn harden() -> Before {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

        let before = Before {
            umask: umask(rustix::fs::Mode::from_raw_mode(0o077)),
            core: getrlimit(Resource::Core),
        };
        let none = Rlimit { current: Some(0), maximum: before.core.maximum };
        // A refusal leaves the limit as it was; the server works either way.
        let _ = setrlimit(Resource::Core, none);
        not_dumpable();
        before
    }
    #[cfg(not(unix))]
    Before {}
}

fn not_dumpable() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
