#![no_main]
//! Feeds `volfs::fuzzing::settings`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::settings(bytes));
