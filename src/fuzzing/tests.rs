//! The committed seeds, their mutations, and how much memory they may cost.
//!
//! `fuse-tests/fuzz/seeds/TARGET/` holds real encodings, which each layer's `fuzzing` module makes,
//! and inputs that once broke a decoder, put there by hand (`crash-*`). The first are compared with
//! what the code makes now; `VOLFS_WRITE_SEEDS=1 cargo test --lib fuzzing` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use super::memory::most_held;
use crate::base::SplitMix64;
use crate::{block, daemon, journal, pool, tree, volume};

/// Mutations of each target's seeds that are tried, beside the systematic ones.
const MUTATIONS: usize = 3000;
/// Longest input that is made of a seed, in bytes.
const LENGTH_MAX: usize = 10_000;
/// Memory that an input may cost: so many times its length, and so many bytes.
const MEMORY_FACTOR: usize = 64;
/// Beside the factor: the largest frame's content, twice, and the journal's two files.
const MEMORY_BYTES: usize = 4 << 20;

type Seeds = Vec<(&'static str, Vec<u8>)>;

struct Target {
    name: &'static str,
    check: fn(&[u8]),
    seeds: fn() -> Seeds,
}

macro_rules! table {
    ($($name:ident: $seeds:path,)*) => {
        [$(Target { name: stringify!($name), check: super::$name, seeds: $seeds },)*]
    };
}

const TARGETS: [Target; 13] = table! {
    frame: block::fuzzing::frame_seeds,
    segment: block::fuzzing::segment_seeds,
    node: tree::fuzzing::node_seeds,
    record: journal::fuzzing::record_seeds,
    log: journal::fuzzing::log_seeds,
    transaction: journal::fuzzing::transaction_seeds,
    superblock: pool::fuzzing::superblock_seeds,
    catalog: pool::fuzzing::catalog_seeds,
    cut: pool::fuzzing::cut_seeds,
    settings: pool::fuzzing::settings_seeds,
    volume: volume::fuzzing::record_seeds,
    request: daemon::fuzzing::request_seeds,
    mounts: daemon::fuzzing::mounts_seeds,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuse-tests/fuzz")
}

/// Writes the seeds if that was asked for, once for all tests.
fn write_when_asked() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("VOLFS_WRITE_SEEDS").is_none() {
            return;
        }
        for target in &TARGETS {
            let folder = folder().join("seeds").join(target.name);
            fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in (target.seeds)() {
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
    });
}

/// Committed seeds of a target, by file name.
fn committed(target: &Target) -> BTreeMap<String, Vec<u8>> {
    write_when_asked();
    let folder = folder().join("seeds").join(target.name);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

/// Runs a target; says which input it was when it fails or takes too much memory.
fn feed(target: &Target, input: &[u8]) {
    let shown = Shown(target.name, input);
    let held = most_held(|| (target.check)(input));
    let most = MEMORY_FACTOR * input.len() + MEMORY_BYTES;
    assert!(held <= most, "{held} bytes held at once, at most {most}");
    std::mem::forget(shown);
}

/// Prints an input when a panic comes past.
struct Shown<'a>(&'static str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("target {}, input {hex}", self.0);
    }
}

/// The seeds that are committed are what the code encodes now, and every target has some.
#[test]
fn seeds_are_what_the_code_encodes() {
    for target in &TARGETS {
        let mut committed = committed(target);
        for (name, bytes) in (target.seeds)() {
            let found = committed.remove(name);
            assert_eq!(found, Some(bytes), "seed {}/{name}", target.name);
        }
        let unknown: Vec<_> = committed
            .keys()
            .filter(|name| !name.starts_with("crash-"))
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", target.name);
    }
}

/// No seed, no truncation of one and no changed byte makes a decoder panic, accept what it would
/// not write, or take more memory than its input is worth.
#[test]
fn damaged_seeds_are_refused_or_encode_to_themselves() {
    for target in &TARGETS {
        for seed in committed(target).into_values() {
            feed(target, &seed);
            // Of a long one what matters is where its fields are, at the front and at the end.
            let places = || (0..seed.len()).filter(|at| *at < 600 || seed.len() - *at < 200);
            for at in places() {
                feed(target, &seed[..at]);
                let mut damaged = seed.clone();
                for byte in [!seed[at], seed[at] ^ 1, seed[at] ^ 0x80, 0, 0xff] {
                    damaged[at] = byte;
                    feed(target, &damaged);
                }
            }
        }
    }
}

/// The same of seeds that were changed in several ways at once.
#[test]
fn mutated_seeds_are_refused_or_encode_to_themselves() {
    let mut random = SplitMix64::new(7);
    for target in &TARGETS {
        let seeds: Vec<Vec<u8>> = committed(target).into_values().collect();
        for _ in 0..MUTATIONS {
            let mut input = random.pick(&seeds).unwrap().clone();
            for _ in 0..=random.below(4) {
                mutate(&mut input, &seeds, &mut random);
            }
            input.truncate(LENGTH_MAX);
            feed(target, &input);
        }
    }
}

/// One change: bytes set, put in, taken out, or taken from another seed.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut SplitMix64) {
    const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 1 << 31, u64::MAX >> 1, u64::MAX];
    let at = random.below(input.len() as u64 + 1) as usize;
    let len = (1 << random.below(5)) as usize;
    let rest = at..(at + len).min(input.len());
    match random.below(6) {
        0 => {
            let number = random.pick(&NUMBERS).unwrap().to_le_bytes();
            let end = rest.end.min(at + number.len());
            input[at..end].copy_from_slice(&number[..end - at]);
        }
        1 => rest.for_each(|at| input[at] = random.next() as u8),
        2 => drop(input.drain(rest)),
        3 => {
            let copy = input[rest].to_vec();
            input.splice(at..at, copy);
        }
        4 => drop(input.splice(at..at, (0..len).map(|_| random.next() as u8))),
        _ => {
            let other = random.pick(seeds).unwrap();
            let from = random.below(other.len() as u64 + 1) as usize;
            input.splice(rest, other[from..].iter().take(len).copied());
        }
    }
}

/// Each target is a program of the fuzzer: the two lists are the same.
#[test]
fn every_target_has_a_fuzzer() {
    let programs = fs::read_dir(folder().join("fuzz_targets")).unwrap();
    let mut programs: Vec<String> = programs
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let mut names: Vec<String> = TARGETS.map(|target| format!("{}.rs", target.name)).into();
    names.sort();
    assert_eq!(programs, names);
}

/// The memory that is counted is the most that was held at once.
#[test]
fn memory_is_counted_at_its_most() {
    let held = most_held(|| {
        drop(vec![0_u8; 1000]);
        drop(vec![0_u8; 700]);
    });
    assert_eq!(held, 1000);
}
