#![no_main]
//! Feeds `volfs::fuzzing::node`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::node(bytes));
