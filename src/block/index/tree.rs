//! What the index needs of a database: sled, or in its place a plain one for explored threads.
//!
//! sled has threads of its own, about which no schedule decides, so that what is in its folder at
//! a moment is not the same in every run.

use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

#[cfg(test)]
use super::plain;

/// Cap of sled's page cache in bytes.
const CACHE_BYTES: u64 = 8 << 20;
/// A child of this process that has not called exec yet holds sled's lock, too, after a close.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// An open database.
pub(super) enum Database {
    Sled(sled::Db),
    #[cfg(test)]
    Plain(plain::Database),
}

/// A sorted map in it.
pub(super) enum Tree {
    Sled(sled::Tree),
    #[cfg(test)]
    Plain(plain::Tree),
}

/// Whether this is sled's refusal of a folder whose lock is held.
fn is_locked(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

impl Database {
    /// Opens the database in the folder at `path`, or creates it there.
    pub(super) fn open(path: &Path) -> sled::Result<Database> {
        #[cfg(test)]
        if crate::base::sync::is_explored() {
            return plain::Database::open(path).map(Database::Plain);
        }
        // No flusher thread: its fsync would hold up commits on the same filesystem. What a crash
        // loses is fed again.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None);
        let mut tries = LOCK_TRIES;
        loop {
            tries -= 1;
            match config.open() {
                Err(sled::Error::Io(error)) if tries > 0 && is_locked(&error) => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => return Ok(Database::Sled(opened?)),
            }
        }
    }

    /// Whether it was there before.
    pub(super) fn was_there(&self) -> bool {
        match self {
            Database::Sled(db) => db.was_recovered(),
            #[cfg(test)]
            Database::Plain(db) => db.was_there(),
        }
    }

    /// The map of this name; none: the one that is always there.
    pub(super) fn tree(&self, name: Option<&'static [u8]>) -> sled::Result<Tree> {
        Ok(match (self, name) {
            (Database::Sled(db), None) => Tree::Sled((**db).clone()),
            (Database::Sled(db), Some(name)) => Tree::Sled(db.open_tree(name)?),
            #[cfg(test)]
            (Database::Plain(db), name) => Tree::Plain(db.tree(name.unwrap_or_default())),
        })
    }

    /// Writes everything out.
    pub(super) fn flush(&self) -> sled::Result<()> {
        match self {
            Database::Sled(db) => db.flush().map(drop),
            #[cfg(test)]
            Database::Plain(db) => db.flush(),
        }
    }
}

impl Tree {
    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> sled::Result<Option<sled::IVec>> {
        match self {
            Tree::Sled(tree) => tree.get(key),
            #[cfg(test)]
            Tree::Plain(tree) => Ok(tree.get(key)),
        }
    }

    /// Gives a key a value.
    pub(super) fn insert(&self, key: &[u8], value: &[u8]) -> sled::Result<()> {
        match self {
            Tree::Sled(tree) => tree.insert(key, value).map(drop),
            #[cfg(test)]
            Tree::Plain(tree) => {
                tree.insert(key, value);
                Ok(())
            }
        }
    }

    /// Removes a key.
    pub(super) fn remove(&self, key: &[u8]) -> sled::Result<()> {
        match self {
            Tree::Sled(tree) => tree.remove(key).map(drop),
            #[cfg(test)]
            Tree::Plain(tree) => {
                tree.remove(key);
                Ok(())
            }
        }
    }

    /// Up to `max` keys and values from there on, in order.
    pub(super) fn page(
        &self,
        from: Bound<&[u8]>,
        max: usize,
    ) -> sled::Result<Vec<(sled::IVec, sled::IVec)>> {
        match self {
            Tree::Sled(tree) => {
                let range = (from, Bound::<&[u8]>::Unbounded);
                tree.range::<&[u8], _>(range).take(max).collect()
            }
            #[cfg(test)]
            Tree::Plain(tree) => Ok(tree.page(from, max)),
        }
    }
}
