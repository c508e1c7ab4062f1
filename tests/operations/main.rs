//! What an operator does with a server: start, keys, backup, doctor, deliveries.

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
