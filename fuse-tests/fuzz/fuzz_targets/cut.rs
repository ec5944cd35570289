#![no_main]
//! Feeds `volfs::fuzzing::cut`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::cut(bytes));
