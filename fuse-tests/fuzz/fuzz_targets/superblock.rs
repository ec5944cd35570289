#![no_main]
//! Feeds `volfs::fuzzing::superblock`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volfs::fuzzing::superblock(bytes));
