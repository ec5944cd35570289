//! A database that is as it was when it was closed, byte for byte: maps in memory, and a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use sled::IVec;
use xxhash_rust::xxh3::xxh3_64;

const FILE: &str = "plain";

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Maps = Arc<Mutex<BTreeMap<Vec<u8>, Map>>>;

/// See the module's text.
pub(super) struct Database {
    path: PathBuf,
    was_there: bool,
    maps: Maps,
}

/// One of its maps.
pub(super) struct Tree {
    name: Vec<u8>,
    maps: Maps,
}

impl Database {
    pub(super) fn open(path: &Path) -> sled::Result<Database> {
        fs::create_dir_all(path)?;
        let read = match fs::read(path.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(decode(&other?)?),
        };
        Ok(Database {
            path: path.join(FILE),
            was_there: read.is_some(),
            maps: Arc::new(Mutex::new(read.unwrap_or_default())),
        })
    }

    pub(super) fn was_there(&self) -> bool {
        self.was_there
    }

    pub(super) fn tree(&self, name: &[u8]) -> Tree {
        Tree {
            name: name.to_vec(),
            maps: self.maps.clone(),
        }
    }

    pub(super) fn flush(&self) -> sled::Result<()> {
        Ok(fs::write(&self.path, encode(&self.maps.lock()))?)
    }
}

impl Tree {
    fn with<R>(&self, work: impl FnOnce(&mut Map) -> R) -> R {
        work(self.maps.lock().entry(self.name.clone()).or_default())
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<IVec> {
        self.with(|map| map.get(key).map(|value| IVec::from(value.as_slice())))
    }

    pub(super) fn insert(&self, key: &[u8], value: &[u8]) {
        self.with(|map| map.insert(key.to_vec(), value.to_vec()));
    }

    pub(super) fn remove(&self, key: &[u8]) {
        self.with(|map| map.remove(key));
    }

    pub(super) fn page(&self, from: Bound<&[u8]>, max: usize) -> Vec<(IVec, IVec)> {
        self.with(|map| {
            let entries = map.range::<[u8], _>((from, Bound::Unbounded)).take(max);
            entries
                .map(|(key, value)| (IVec::from(key.as_slice()), IVec::from(value.as_slice())))
                .collect()
        })
    }
}

/// All parts one behind the other, each with its length, behind their checksum.
fn encode(maps: &BTreeMap<Vec<u8>, Map>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    };
    for (name, map) in maps {
        for (key, value) in map {
            [name, key, value].into_iter().for_each(|part| put(part));
        }
    }
    [&xxh3_64(&bytes).to_le_bytes(), bytes.as_slice()].concat()
}

fn decode(file: &[u8]) -> sled::Result<BTreeMap<Vec<u8>, Map>> {
    let damaged = || sled::Error::ReportableBug("the file is damaged".to_owned());
    let (checksum, mut rest) = file.split_first_chunk::<8>().ok_or_else(damaged)?;
    if *checksum != xxh3_64(rest).to_le_bytes() {
        return Err(damaged());
    }
    let mut next = || {
        let (len, behind) = rest.split_first_chunk::<4>()?;
        let (part, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = behind;
        Some(part.to_vec())
    };
    let mut maps: BTreeMap<Vec<u8>, Map> = BTreeMap::new();
    while let Some(name) = next() {
        let (key, value) = (next().ok_or_else(damaged)?, next().ok_or_else(damaged)?);
        maps.entry(name).or_default().insert(key, value);
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It comes back as it was, in the same bytes, and any flipped bit is noticed.
    #[test]
    fn it_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let db = Database::open(folder.path()).unwrap();
            assert_eq!(db.was_there(), round > 0);
            for (name, key) in [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")] {
                db.tree(name).insert(key, b"value");
            }
            let page = db.tree(b"a").page(Bound::Excluded(b"1"), 5);
            assert_eq!(page, [(IVec::from(b"3"), IVec::from(b"value"))]);
            db.tree(b"b").remove(b"2");
            db.flush().unwrap();
        }
        let file = folder.path().join(FILE);
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            fs::write(&file, damaged).unwrap();
            assert!(Database::open(folder.path()).is_err());
        }
    }
}
