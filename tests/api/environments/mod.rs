//! Environments and their settings.

mod crud;
mod settings;
