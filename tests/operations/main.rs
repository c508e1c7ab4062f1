//! Operating a server: starts and stops, keys, backups, compaction, doctor, deliveries.

mod backup;
mod compact;
mod deliveries;
mod doctor;
mod first_start;
mod guide;
mod recovery;
mod retention;
mod root_key;
mod shutdown;
mod start;
