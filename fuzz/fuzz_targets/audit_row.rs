//! The body of a row of the audit log, as an export or a damaged database may
//! have it.
#![no_main]

use coffer::audit::Row;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(row) = postcard::from_bytes::<Row>(bytes) else { return };
    let written = postcard::to_stdvec(&row).expect("rows can be written");
    let again: Row = postcard::from_bytes(&written).expect("what was written can be read");
    assert_eq!(postcard::to_stdvec(&again).expect("likewise"), written);
});
