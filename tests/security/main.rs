//! Attacks, planted values, tampering, and who may do what.

mod attacks;
mod canary;
mod matrix;
mod tampering;
