//! The web console: how its files are served, and the console in a real browser.

mod browser;
mod files;
