//! The body of an audit log row, as found in an export or in a damaged database.
#![no_main]

use coffer::audit::Row;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(row) = postcard::from_bytes::<Row>(bytes) else { return };
    let written = postcard::to_stdvec(&row).expect("a decoded row encodes");
    let again: Row = postcard::from_bytes(&written).expect("an encoded row decodes");
    assert_eq!(postcard::to_stdvec(&again).expect("a row encodes again"), written);
});
