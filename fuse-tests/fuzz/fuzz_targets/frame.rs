#![no_main]
//! Feeds `volfs::fuzzing::frame`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::frame(bytes));
