//! Where should block payloads lie: inside sled, or in segment files beside a sled index?
//!
//! `payload_placement [MIB] [FOLDER]` (default 312 MiB below the temporary folder). Stores
//! incompressible 8 KiB values named by their BLAKE3, durable every 8 MiB, and prints what each
//! way costs. Each way runs in a process of its own, so that memory and I/O can be told apart.
//! The result is part of docs/decisions/0001-payloads-beside-sled.md.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use volfs_bench::process::{allocated_bytes, bytes_written, resident_bytes};

type Outcome<T> = Result<T, Box<dyn Error>>;

const VALUE_BYTES: usize = 8 << 10;
const FLUSH_BYTES: usize = 8 << 20;
const SEGMENT_BYTES: u64 = 64 << 20;
const SLED_CACHE_BYTES: u64 = 64 << 20;
const MIB: f64 = (1 << 20) as f64;

/// A way to store values; [`Store::flush`] returns when all values before it are durable.
trait Store {
    fn put(&mut self, id: [u8; 32], value: &[u8]) -> Outcome<()>;
    fn flush(&mut self) -> Outcome<()>;
}

/// The value is sled's.
struct InSled {
    database: sled::Db,
}

impl Store for InSled {
    fn put(&mut self, id: [u8; 32], value: &[u8]) -> Outcome<()> {
        self.database.insert(id, value)?;
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        self.database.flush()?;
        Ok(())
    }
}

/// The value is appended to a file; sled learns only its place, after the file was synced.
struct BesideSled {
    index: sled::Db,
    folder: PathBuf,
    segment: File,
    number: u64,
    length: u64,
    unindexed: Vec<([u8; 32], [u8; 16])>,
}

impl BesideSled {
    fn open(folder: &Path) -> Outcome<BesideSled> {
        Ok(BesideSled {
            index: open_sled(&folder.join("index"))?,
            segment: File::create(folder.join("0"))?,
            folder: folder.to_owned(),
            number: 0,
            length: 0,
            unindexed: Vec::new(),
        })
    }
}

impl Store for BesideSled {
    fn put(&mut self, id: [u8; 32], value: &[u8]) -> Outcome<()> {
        let mut place = [0; 16];
        place[..8].copy_from_slice(&self.number.to_le_bytes());
        place[8..].copy_from_slice(&self.length.to_le_bytes());
        let mut frame = Vec::with_capacity(id.len() + value.len());
        frame.extend_from_slice(&id);
        frame.extend_from_slice(value);
        self.segment.write_all(&frame)?;
        self.length += frame.len() as u64;
        self.unindexed.push((id, place));
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        self.segment.sync_data()?;
        // Neighbouring keys fall into the same page of the index.
        self.unindexed.sort_unstable();
        let mut batch = sled::Batch::default();
        for (id, place) in self.unindexed.drain(..) {
            batch.insert(&id, &place);
        }
        self.index.apply_batch(batch)?;
        if self.length >= SEGMENT_BYTES {
            self.number += 1;
            self.segment = File::create(self.folder.join(self.number.to_string()))?;
            self.length = 0;
        }
        Ok(())
    }
}

fn open_sled(path: &Path) -> Outcome<sled::Db> {
    Ok(sled::Config::new()
        .path(path)
        .cache_capacity(SLED_CACHE_BYTES)
        .open()?)
}

/// Stores `mib` MiB and prints one line of the table.
fn measure(name: &str, store: &mut dyn Store, folder: &Path, mib: usize) -> Outcome<()> {
    let written_before = bytes_written()?;
    let start = Instant::now();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = vec![0; VALUE_BYTES];
    let mut stored = 0;
    while stored < mib << 20 {
        for word in value.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        store.put(*blake3::hash(&value).as_bytes(), &value)?;
        stored += VALUE_BYTES;
        if stored % FLUSH_BYTES == 0 {
            store.flush()?;
        }
    }
    store.flush()?;
    let seconds = start.elapsed().as_secs_f64();
    // What sled still holds back belongs to the bill as well.
    let resident = resident_bytes()? as f64;
    let stored = stored as f64;
    let written = (bytes_written()? - written_before) as f64;
    println!(
        "{name:<14} {:>9.0} {:>11.2}x {:>11.2}x {:>11.0}",
        stored / MIB / seconds,
        written / stored,
        allocated_bytes(folder)? as f64 / stored,
        resident / MIB,
    );
    Ok(())
}

fn run_way(way: &str, mib: usize, folder: &Path) -> Outcome<()> {
    let scratch = tempfile::tempdir_in(folder)?;
    let path = scratch.path();
    match way {
        "in-sled" => {
            let mut store = InSled {
                database: open_sled(path)?,
            };
            measure("inside sled", &mut store, path, mib)
        }
        "beside-sled" => measure("beside sled", &mut BesideSled::open(path)?, path, mib),
        other => Err(format!("no way is called '{other}'").into()),
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mib = arguments.first().map_or(Ok(312), |mib| mib.parse())?;
    let folder = arguments.get(1).map_or_else(env::temp_dir, PathBuf::from);
    if let Some(way) = arguments.get(2) {
        return run_way(way, mib, &folder);
    }
    fs::create_dir_all(&folder)?;
    println!("payloads         MiB/s  bytes written bytes on disk  memory MiB");
    for way in ["in-sled", "beside-sled"] {
        let mut child = Command::new(env::current_exe()?);
        let status = child
            .args([&mib.to_string()])
            .arg(&folder)
            .arg(way)
            .status()?;
        if !status.success() {
            return Err(format!("{way}: {status}").into());
        }
    }
    Ok(())
}
