//! Process hardening, before the process handles a secret.

/// The process limits before [`harden`], for a command that replaces this process.
#[derive(Debug)]
pub(super) struct OriginalLimits {
    #[cfg(unix)]
    umask: rustix::fs::Mode,
    #[cfg(unix)]
    core: rustix::process::Rlimit,
}

impl OriginalLimits {
    /// Restores the limits. The dumpable flag needs no restoring: execve resets it.
    pub fn restore(&self) {
        #[cfg(unix)]
        {
            rustix::process::umask(self.umask);
            let _ = rustix::process::setrlimit(rustix::process::Resource::Core, self.core);
        }
    }
}

/// Makes new files accessible to their owner only, disables core dumps, and on Linux keeps other
/// processes of the same user from reading this process's memory.
pub(super) fn harden() -> OriginalLimits {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

        let original = OriginalLimits {
            umask: umask(rustix::fs::Mode::from_raw_mode(0o077)),
            core: getrlimit(Resource::Core),
        };
        let none = Rlimit { current: Some(0), maximum: original.core.maximum };
        // If this fails the limit stays as it was, and everything else still works.
        let _ = setrlimit(Resource::Core, none);
        disable_dumps();
        original
    }
    #[cfg(not(unix))]
    OriginalLimits {}
}

fn disable_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
