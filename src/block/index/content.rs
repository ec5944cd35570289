//! What the index keeps in its database.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::base::{BlockId, ByteReader, DecodeError, Place, PoolId, PutBytes, SegmentId};
use crate::block::segment::FrameEntry;

use super::filter::Filter;
use super::tree::{Database, Tree};

/// Format of what is in the database; another one is thrown away and rebuilt.
const FORMAT: u32 = 1;
const STAMP_KEY: &[u8] = b"stamp";
const PLACES: &[u8] = b"places";
const COVERAGE: &[u8] = b"coverage";
/// Coverage of a segment that will never have more frames than the index has.
const WHOLE: u32 = u32::MAX;

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    /// sled says so.
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    /// sled panicked.
    #[error("sled panicked: {0}")]
    Panic(String),
    /// An entry is not what it should be.
    #[error("an entry is damaged")]
    Entry(#[from] DecodeError),
    /// It belongs to another pool, or has another format.
    #[error("it is another pool's or of another format")]
    Foreign,
    /// A look-up has failed before.
    #[error("a look-up failed")]
    Reported,
}

impl IndexError {
    /// Whether the database is held by somebody: by one of this process that was just closed, as
    /// sled's threads let go of it a moment later.
    pub(super) fn is_held(&self) -> bool {
        match self {
            IndexError::Sled(sled::Error::Io(error)) => {
                error.to_string().contains("could not acquire lock")
            }
            _ => false,
        }
    }
}

/// How much of a segment the index has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coverage {
    /// The frames that end at or before this byte offset.
    Until(u32),
    /// All there will ever be.
    Whole,
}

/// An open database.
pub(super) struct ContentIndex {
    db: Database,
    places: Tree,
    coverage: Tree,
    filter: Filter,
}

impl ContentIndex {
    /// Opens the database in the folder at `path`, or creates it there.
    pub(super) fn open(path: &Path, pool: PoolId) -> Result<ContentIndex, IndexError> {
        guarded(|| {
            let db = Database::open(path)?;
            let (stamps, stamp) = (db.tree(None)?, stamp(pool));
            match stamps.get(STAMP_KEY)? {
                Some(found) if found == stamp => {}
                None if !db.was_there() => stamps.insert(STAMP_KEY, &stamp)?,
                _ => return Err(IndexError::Foreign),
            }
            let (places, coverage) = (db.tree(Some(PLACES))?, db.tree(Some(COVERAGE))?);
            Ok(ContentIndex {
                db,
                places,
                coverage,
                filter: Filter::new(),
            })
        })
    }

    /// Where the content is.
    pub(super) fn get(&self, id: &BlockId) -> Result<Option<Place>, IndexError> {
        if !self.filter.may_have(id) {
            return Ok(None);
        }
        let found = guarded(|| Ok(self.places.get(&id.0)?))?;
        let decode = |bytes: sled::IVec| {
            let mut reader = ByteReader::new("index entry", &bytes);
            let place = reader.place()?;
            reader.finish()?;
            Ok(place)
        };
        found.map(decode).transpose()
    }

    /// Up to `max` entries behind `after`, in the order of ids; less only at the end.
    pub(super) fn page(
        &self,
        after: Option<BlockId>,
        max: usize,
    ) -> Result<Vec<(BlockId, Place)>, IndexError> {
        guarded(|| {
            let from = after
                .as_ref()
                .map_or(Bound::Unbounded, |id| Bound::Excluded(&id.0[..]));
            let mut page = Vec::with_capacity(max);
            for (key, value) in self.places.page(from, max)? {
                let mut reader = ByteReader::new("index entry", &key);
                let id = reader.block_id()?;
                reader.finish()?;
                let mut reader = ByteReader::new("index entry", &value);
                let place = reader.place()?;
                reader.finish()?;
                page.push((id, place));
            }
            Ok(page)
        })
    }

    /// Whether look-ups of what is not there are dear still, and [`ContentIndex::learn`] helps.
    pub(super) fn has_to_learn(&self) -> bool {
        self.filter.is_partial()
    }

    /// Learns up to `max` ids behind `after`, so that in the end those that are not there need no
    /// look-up. Returns where it ended; none when it knows them all.
    pub(super) fn learn(
        &self,
        after: Option<BlockId>,
        max: usize,
    ) -> Result<Option<BlockId>, IndexError> {
        let page = self.page(after, max)?;
        for (id, _) in &page {
            self.filter.insert(id);
        }
        if page.len() < max {
            self.filter.call_whole();
            return Ok(None);
        }
        Ok(page.last().map(|(id, _)| *id))
    }

    /// Adds frames of segments. Plain inserts and no sled batch: a batch would lock out every
    /// look-up meanwhile, and being applied in part does no harm.
    pub(super) fn insert(&self, frames: &[(SegmentId, FrameEntry)]) -> Result<(), IndexError> {
        guarded(|| {
            let mut value = Vec::with_capacity(Place::BYTES);
            for (segment, frame) in frames {
                self.filter.insert(&frame.id);
                value.clear();
                value.put_place(&frame.place(*segment));
                self.places.insert(&frame.id.0, &value)?;
            }
            Ok(())
        })
    }

    /// Drops the entry of a content if it leads to this place.
    pub(super) fn remove(&self, id: &BlockId, place: &Place) -> Result<(), IndexError> {
        if self.get(id)? != Some(*place) {
            return Ok(());
        }
        guarded(|| Ok(self.places.remove(&id.0)?))
    }

    /// What the index has of each segment.
    pub(super) fn coverage(&self) -> Result<BTreeMap<SegmentId, Coverage>, IndexError> {
        guarded(|| {
            let mut coverage = BTreeMap::new();
            for (key, value) in self.coverage.page(Bound::Unbounded, usize::MAX)? {
                let mut reader = ByteReader::new("coverage", &key);
                let segment = SegmentId(u64::from_be_bytes(reader.array()?));
                reader.finish()?;
                let mut reader = ByteReader::new("coverage", &value);
                let covered = match reader.u32()? {
                    WHOLE => Coverage::Whole,
                    until => Coverage::Until(until),
                };
                reader.finish()?;
                coverage.insert(segment, covered);
            }
            Ok(coverage)
        })
    }

    /// Records what the index has of a segment; after the frames themselves, so that a crash may
    /// lose this and not them.
    pub(super) fn cover(&self, segment: SegmentId, coverage: Coverage) -> Result<(), IndexError> {
        let value = match coverage {
            Coverage::Until(until) => until,
            Coverage::Whole => WHOLE,
        };
        guarded(|| {
            self.coverage
                .insert(&segment.0.to_be_bytes(), &value.to_le_bytes())?;
            Ok(())
        })
    }

    /// Forgets what it has of a segment that is gone.
    pub(super) fn uncover(&self, segment: SegmentId) -> Result<(), IndexError> {
        guarded(|| {
            self.coverage.remove(&segment.0.to_be_bytes())?;
            Ok(())
        })
    }

    /// Writes out everything and closes the database.
    pub(super) fn close(self) -> Result<(), IndexError> {
        guarded(move || {
            self.db.flush()?;
            drop(self);
            Ok(())
        })
    }
}

fn stamp(pool: PoolId) -> Vec<u8> {
    let mut stamp = Vec::new();
    stamp.put_u32(FORMAT);
    stamp.put_bytes(&pool.0);
    stamp
}

/// Calls sled; a panic in it becomes an error.
fn guarded<T>(call: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(IndexError::Panic(text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId([5; 16]);

    fn frame(number: u8) -> FrameEntry {
        FrameEntry {
            id: BlockId([number; 32]),
            offset: 64 + u32::from(number) * 100,
            len: 100,
        }
    }

    /// Places and coverage come back after a close; the folder can be opened again at once.
    #[test]
    fn entries_survive_a_close() {
        let folder = tempfile::tempdir().unwrap();
        let segment = SegmentId(7);
        for round in 0..5 {
            let index = ContentIndex::open(folder.path(), POOL).unwrap();
            let known = (round > 0).then(|| frame(3).place(segment));
            assert_eq!(index.get(&BlockId([3; 32])).unwrap(), known);
            assert_eq!(
                index.coverage().unwrap().len(),
                if round > 0 { 2 } else { 0 }
            );
            index
                .insert(&[frame(1), frame(2), frame(3)].map(|frame| (segment, frame)))
                .unwrap();
            index.cover(segment, Coverage::Until(464)).unwrap();
            index.cover(SegmentId(8), Coverage::Whole).unwrap();
            index.cover(SegmentId(9), Coverage::Whole).unwrap();
            index.uncover(SegmentId(9)).unwrap();
            index.close().unwrap();
        }
        let index = ContentIndex::open(folder.path(), POOL).unwrap();
        let expected = [
            (segment, Coverage::Until(464)),
            (SegmentId(8), Coverage::Whole),
        ];
        assert_eq!(index.coverage().unwrap(), BTreeMap::from(expected));
        assert_eq!(index.get(&BlockId([4; 32])).unwrap(), None);
    }

    /// Another pool's index, a foreign database and a damaged entry are refused.
    #[test]
    fn what_is_not_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let index = ContentIndex::open(folder.path(), POOL).unwrap();
        index.places.insert(&[1; 32], &[1, 2, 3]).unwrap();
        index.coverage.insert(&[1], &[0]).unwrap();
        assert!(matches!(
            index.get(&BlockId([1; 32])),
            Err(IndexError::Entry(_))
        ));
        assert!(matches!(index.coverage(), Err(IndexError::Entry(_))));
        index.close().unwrap();
        let other = ContentIndex::open(folder.path(), PoolId([6; 16]));
        assert!(matches!(other, Err(IndexError::Foreign)));
    }

    /// A panic inside sled is an error outside.
    #[test]
    fn panics_become_errors() {
        let error = guarded::<()>(|| panic!("page {} is gone", 7)).unwrap_err();
        assert_eq!(error.to_string(), "sled panicked: page 7 is gone");
    }
}
