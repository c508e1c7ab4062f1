//! What a disk holds, which changes are not durable yet, and what a power cut leaves.
//!
//! Every file and directory has two states: as processes see it, and as it is on the platter. A
//! change is applied to the first state at once and added to a list. Syncing a file (its bytes and
//! length) or a directory (its entries) moves its changes from the list to the platter. A power cut
//! discards the first state and as much of the list as the test asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::Rng;

pub const ROOT: u64 = 1;

type Entries = BTreeMap<OsString, u64>;

#[derive(Debug, Clone)]
pub enum Content {
    File(Vec<u8>),
    Directory(Entries),
}

impl Content {
    /// The file or directory without its content.
    fn empty(&self) -> Self {
        match self {
            Self::File(_) => Self::File(Vec::new()),
            Self::Directory(_) => Self::Directory(Entries::new()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Node {
    pub content: Content,
    pub mode: u32,
}

/// A change that is not on the platter yet.
#[derive(Debug, Clone)]
enum Change {
    Write {
        file: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: u64,
        bytes: usize,
    },
    /// Directory entries that change together or not at all: a rename.
    Entries(Vec<(u64, OsString, Option<u64>)>),
}

impl Change {
    fn concerns(&self, number: u64) -> bool {
        match self {
            Self::Write { file, .. } | Self::Length { file, .. } => *file == number,
            Self::Entries(entries) => entries.iter().any(|(directory, ..)| *directory == number),
        }
    }

    fn is_rename(&self) -> bool {
        matches!(self, Self::Entries(entries) if entries.len() > 1)
    }
}

/// Which of the unsynced changes survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None of them.
    Nothing,
    /// All of them, but only half of the last write.
    LastHalf,
    /// Only half of the last write.
    OnlyLastHalf,
    /// Half of each write and all created or removed names, but no rename: the oldest names, with
    /// the newest content of everything else half written.
    Halves,
    /// A random subset, in any order, with some writes cut short.
    Some,
}

impl Survivors {
    pub const KINDS: [Self; 5] =
        [Self::Nothing, Self::LastHalf, Self::OnlyLastHalf, Self::Halves, Self::Some];
    /// The survivors to try for each cut: every kind once, and the random kind twice more.
    pub const LOTS: [Self; 7] = [
        Self::Nothing,
        Self::LastHalf,
        Self::OnlyLastHalf,
        Self::Halves,
        Self::Some,
        Self::Some,
        Self::Some,
    ];

    pub fn any(rng: &mut Rng) -> Self {
        Self::KINDS[rng.below(Self::KINDS.len())]
    }
}

/// Why an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power is off, or a sync was set to fail.
    Io,
    /// The disk is full.
    Full,
    NotFound,
    Exists,
    NotEmpty,
    WrongKind,
}

/// Both states, and when each planned failure happens.
#[derive(Debug, Clone)]
pub struct State {
    nodes: BTreeMap<u64, Node>,
    platter: BTreeMap<u64, Node>,
    unsynced: Vec<Change>,
    next: u64,
    /// How many changes and syncs there have been.
    pub steps: u64,
    /// The power goes off before the step with this number.
    pub cut_at: Option<u64>,
    pub is_off: bool,
    /// This many more syncs succeed.
    pub good_syncs: Option<u64>,
    /// This many more writes fit on the disk.
    pub good_writes: Option<u64>,
    /// This many more writes succeed, then one fails, then all succeed.
    pub good_writes_before_a_bad_one: Option<u64>,
    /// The files that were hit by a planned failure of a sync or write.
    pub failed: BTreeSet<u64>,
}

impl State {
    pub fn new() -> Self {
        let root = Node { content: Content::Directory(Entries::new()), mode: 0o700 };
        Self {
            nodes: BTreeMap::from([(ROOT, root.clone())]),
            platter: BTreeMap::from([(ROOT, root)]),
            unsynced: Vec::new(),
            next: ROOT + 1,
            steps: 0,
            cut_at: None,
            is_off: false,
            good_syncs: None,
            good_writes: None,
            good_writes_before_a_bad_one: None,
            failed: BTreeSet::new(),
        }
    }

    /// Without power, every read and write fails.
    pub fn powered(&self) -> Result<(), Fault> {
        if self.is_off { Err(Fault::Io) } else { Ok(()) }
    }

    /// Counts a change or sync that is about to happen.
    fn step(&mut self) -> Result<(), Fault> {
        self.is_off |= self.cut_at.is_some_and(|cut_at| self.steps >= cut_at);
        self.powered()?;
        self.steps += 1;
        Ok(())
    }

    pub fn node(&self, number: u64) -> Result<&Node, Fault> {
        self.powered()?;
        self.nodes.get(&number).ok_or(Fault::NotFound)
    }

    pub fn file(&self, number: u64) -> Result<&Vec<u8>, Fault> {
        match &self.node(number)?.content {
            Content::File(bytes) => Ok(bytes),
            Content::Directory(_) => Err(Fault::WrongKind),
        }
    }

    pub fn entries(&self, number: u64) -> Result<&Entries, Fault> {
        match &self.node(number)?.content {
            Content::Directory(entries) => Ok(entries),
            Content::File(_) => Err(Fault::WrongKind),
        }
    }

    pub fn find(&self, directory: u64, name: &OsStr) -> Result<u64, Fault> {
        self.entries(directory)?.get(name).copied().ok_or(Fault::NotFound)
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.nodes, &change, usize::MAX);
        self.unsynced.push(change);
    }

    pub fn write(&mut self, file: u64, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        self.file(file)?;
        self.step()?;
        if self.good_writes == Some(0) {
            self.failed.insert(file);
            return Err(Fault::Full);
        }
        self.good_writes = self.good_writes.map(|left| left - 1);
        if let Some(left) = self.good_writes_before_a_bad_one {
            self.good_writes_before_a_bad_one = left.checked_sub(1);
            if left == 0 {
                self.failed.insert(file);
                return Err(Fault::Io);
            }
        }
        self.change(Change::Write { file, at, bytes: bytes.to_vec() });
        Ok(())
    }

    pub fn set_length(&mut self, file: u64, bytes: usize) -> Result<(), Fault> {
        if self.file(file)?.len() != bytes {
            self.step()?;
            self.change(Change::Length { file, bytes });
        }
        Ok(())
    }

    pub fn set_mode(&mut self, number: u64, mode: u32) -> Result<(), Fault> {
        self.powered()?;
        self.nodes.get_mut(&number).ok_or(Fault::NotFound)?.mode = mode;
        Ok(())
    }

    pub fn make(
        &mut self,
        directory: u64,
        name: &OsStr,
        content: Content,
        mode: u32,
    ) -> Result<u64, Fault> {
        if self.entries(directory)?.contains_key(name) {
            return Err(Fault::Exists);
        }
        self.step()?;
        let number = self.next;
        self.next += 1;
        let empty = content.empty();
        self.nodes.insert(number, Node { content, mode });
        // No name leads to the file until the directory is synced.
        self.platter.insert(number, Node { content: empty, mode });
        self.change(Change::Entries(vec![(directory, name.to_owned(), Some(number))]));
        Ok(number)
    }

    pub fn remove(&mut self, directory: u64, name: &OsStr) -> Result<(), Fault> {
        let number = self.find(directory, name)?;
        if self.entries(number).is_ok_and(|entries| !entries.is_empty()) {
            return Err(Fault::NotEmpty);
        }
        self.step()?;
        self.change(Change::Entries(vec![(directory, name.to_owned(), None)]));
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Fault> {
        let number = self.find(from.0, from.1)?;
        self.entries(to.0)?;
        self.step()?;
        self.change(Change::Entries(vec![
            (from.0, from.1.to_owned(), None),
            (to.0, to.1.to_owned(), Some(number)),
        ]));
        Ok(())
    }

    /// A failed sync loses the data it was to save: the system then considers the pages clean, and
    /// no later sync writes them to the disk. Directories are exempt: a failing journal makes the
    /// disk read-only.
    pub fn sync(&mut self, number: u64) -> Result<(), Fault> {
        let is_file = self.file(number).is_ok();
        self.step()?;
        let fails = is_file && self.good_syncs == Some(0);
        self.good_syncs = self.good_syncs.map(|left| left.saturating_sub(1));
        for change in std::mem::take(&mut self.unsynced) {
            if !change.concerns(number) {
                self.unsynced.push(change);
            } else if !fails {
                apply(&mut self.platter, &change, usize::MAX);
            }
        }
        if fails {
            self.failed.insert(number);
            return Err(Fault::Io);
        }
        Ok(())
    }

    /// Restores the power: processes see what is on the platter.
    pub fn restore(&mut self, survivors: Survivors, rng: &mut Rng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let is_write = |change: &Change| matches!(change, Change::Write { .. });
        let last = unsynced.iter().rposition(is_write);
        for (number, change) in unsynced.into_iter().enumerate() {
            let half = match &change {
                Change::Write { bytes, .. } => bytes.len() / 2,
                _ => usize::MAX,
            };
            let (survives, bytes) = match survivors {
                Survivors::Nothing => (false, 0),
                Survivors::LastHalf if Some(number) == last => (true, half),
                Survivors::LastHalf => (true, usize::MAX),
                Survivors::OnlyLastHalf => (Some(number) == last, half),
                Survivors::Halves => (!change.is_rename(), half),
                Survivors::Some => {
                    let part = if rng.below(4) == 0 { half } else { usize::MAX };
                    (rng.below(2) == 0, part)
                }
            };
            if survives {
                apply(&mut self.platter, &change, bytes);
            }
        }
        self.forget_unreachable();
        self.nodes = self.platter.clone();
        self.mend();
        (self.cut_at, self.is_off) = (None, false);
    }

    /// Makes syncs and writes succeed again.
    pub fn mend(&mut self) {
        (self.good_syncs, self.good_writes) = (None, None);
        self.good_writes_before_a_bad_one = None;
        self.failed.clear();
    }

    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut left = vec![ROOT];
        while let Some(number) = left.pop() {
            if reached.insert(number)
                && let Content::Directory(entries) = &self.platter[&number].content
            {
                left.extend(entries.values());
            }
        }
        self.platter.retain(|number, _| reached.contains(number));
    }
}

/// Applies a change to one of the states. For a write, applies only this many bytes.
fn apply(nodes: &mut BTreeMap<u64, Node>, change: &Change, most: usize) {
    match change {
        Change::Write { file, at, bytes } => {
            let Some(content) = bytes_of(nodes, *file) else { return };
            let bytes = &bytes[..bytes.len().min(most)];
            let end = at + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*at..end].copy_from_slice(bytes);
        }
        Change::Length { file, bytes } => {
            if let Some(content) = bytes_of(nodes, *file) {
                content.resize(*bytes, 0);
            }
        }
        Change::Entries(entries) => {
            for (directory, name, leads_to) in entries {
                let Some(Node { content: Content::Directory(found), .. }) =
                    nodes.get_mut(directory)
                else {
                    continue;
                };
                match leads_to {
                    Some(number) => found.insert(name.clone(), *number),
                    None => found.remove(name),
                };
            }
        }
    }
}

fn bytes_of(nodes: &mut BTreeMap<u64, Node>, number: u64) -> Option<&mut Vec<u8>> {
    match nodes.get_mut(&number) {
        Some(Node { content: Content::File(bytes), .. }) => Some(bytes),
        _ => None,
    }
}
