//! Full and failing disks.

mod failing;
mod faults;
mod full;
mod full_restore;
