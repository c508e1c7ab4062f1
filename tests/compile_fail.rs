//! Mistakes that must not compile, as programs that try to make them.

mod allowed;

use coffer::access::Token;
use coffer::vault::{Plaintext, Revealed};
use static_assertions::{assert_impl_all, assert_not_impl_any};

// The compiler's own word for it, whatever its messages look like.
assert_not_impl_any!(Plaintext: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize);
assert_not_impl_any!(Plaintext: std::ops::Deref, AsRef<str>, AsRef<[u8]>, Into<String>, Into<Vec<u8>>);
assert_not_impl_any!(Plaintext: actix_web::Responder, actix_web::body::MessageBody);
assert_not_impl_any!(Plaintext: Into<actix_web::web::Bytes>, std::hash::Hash, PartialOrd, std::borrow::Borrow<str>);
assert_impl_all!(Plaintext: serde::de::DeserializeOwned, Send);
assert_not_impl_any!(Revealed: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, std::ops::Deref);
assert_not_impl_any!(Token: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);

/// The compiler whose messages are kept beside the programs.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_do_not_compile() {
    // It compiles every dependency once more.
    if !support::tier::full_only("mistakes_do_not_compile") {
        return;
    }
    // The messages are compared to the letter, and each compiler words its own.
    // What matters most is asserted above, with any compiler.
    let version = std::process::Command::new("rustc").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if !version.as_ref().is_ok_and(|version| version.starts_with(COMPILER)) {
        support::skip(format!("the messages are those of {COMPILER}*, this is {version:?}"));
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
