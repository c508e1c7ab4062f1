//! Programs with mistakes that must not compile.

mod allowed;

use coffer::access::Token;
use coffer::vault::{Plaintext, Revealed};
use static_assertions::{assert_impl_all, assert_not_impl_any};

// These assertions hold with any compiler, whatever its messages look like.
assert_not_impl_any!(Plaintext: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize);
assert_not_impl_any!(Plaintext: std::ops::Deref, AsRef<str>, AsRef<[u8]>, Into<String>, Into<Vec<u8>>);
assert_not_impl_any!(Plaintext: actix_web::Responder, actix_web::body::MessageBody);
assert_not_impl_any!(Plaintext: Into<actix_web::web::Bytes>, std::hash::Hash, PartialOrd, std::borrow::Borrow<str>);
assert_impl_all!(Plaintext: serde::de::DeserializeOwned, Send);
assert_not_impl_any!(Revealed: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, std::ops::Deref);
assert_not_impl_any!(Token: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);

/// The compiler version that produced the expected messages.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_do_not_compile() {
    // This test compiles every dependency again.
    if !support::tier::full_only("mistakes_do_not_compile") {
        return;
    }
    // Expected messages must match exactly, and they differ between compiler versions. The most
    // important properties are asserted above, with any compiler.
    let version = std::process::Command::new("rustc").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if !version.as_ref().is_ok_and(|version| version.starts_with(COMPILER)) {
        support::skip(format!("the expected messages are from {COMPILER}*, this is {version:?}"));
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
