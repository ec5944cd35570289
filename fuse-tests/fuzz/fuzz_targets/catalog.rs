#![no_main]
//! Feeds `volfs::fuzzing::catalog`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::catalog(bytes));
