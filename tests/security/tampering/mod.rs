//! An edited database file.

mod audit;
mod copy;
mod damage;
mod retention;
mod secrets;
