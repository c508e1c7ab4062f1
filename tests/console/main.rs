//! The web console: its files, and the console in a real browser.

mod browser;
mod files;
