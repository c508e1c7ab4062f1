//! Query strings, and the headers that identify the client: Forwarded, X-Forwarded-For,
//! Authorization, Cookie.
#![no_main]

use std::net::IpAddr;

use coffer::domain::Network;
use coffer::http::fuzzing;
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    query: &'a str,
    peer: IpAddr,
    trusted: [&'a str; 2],
    forwarded: [&'a [u8]; 2],
    shown: [&'a [u8]; 2],
}

fuzz_target!(|input: Input<'_>| {
    fuzzing::query(input.query);
    let mut trusted: Vec<_> = input.trusted.into_iter().filter_map(Network::parse).collect();
    trusted.extend(Network::parse(&input.peer.to_string()));
    fuzzing::headers(input.peer, input.forwarded, input.shown, &trusted);
});
