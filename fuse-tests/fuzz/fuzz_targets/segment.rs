#![no_main]
//! Feeds `volfs::fuzzing::segment`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::segment(bytes));
