#![no_main]
//! Feeds `volfs::fuzzing::mounts`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::mounts(bytes));
