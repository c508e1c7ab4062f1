//! `coffer doctor`: reports and repairs.

mod repair;
mod report;
