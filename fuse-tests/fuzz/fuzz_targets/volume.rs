#![no_main]
//! Feeds `volfs::fuzzing::volume`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::volume(bytes));
