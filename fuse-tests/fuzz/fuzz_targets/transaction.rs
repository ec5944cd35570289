#![no_main]
//! Feeds `volfs::fuzzing::transaction`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::transaction(bytes));
