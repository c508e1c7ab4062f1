//! A small disk: a tmpfs. Mounting it needs root.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;

/// A tmpfs that is mounted until this is dropped.
pub struct SmallDisk {
    pub at: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    pub fn mount(bytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a tmpfs needs root".to_owned());
        }
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("small");
        std::fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "coffer-test"]).arg(&at);
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Self { at, _dir: dir }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Fills the disk, as another process would, until only this many bytes are free, if it can.
    pub fn leave(&self, bytes: u64) {
        let path = self.ballast();
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        let block = vec![0x5a; 64 << 10];
        while self.free() > bytes {
            let most = usize::try_from(self.free() - bytes).unwrap().min(block.len());
            if file.write_all(&block[..most]).is_err() {
                return;
            }
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
