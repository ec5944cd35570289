#![no_main]
//! Feeds `volfs::fuzzing::request`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::request(bytes));
