#![no_main]
//! Feeds `volfs::fuzzing::log`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::log(bytes));
