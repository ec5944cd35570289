#![no_main]
//! Feeds `volfs::fuzzing::record`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::record(bytes));
