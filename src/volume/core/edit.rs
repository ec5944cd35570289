//! Collecting the changes of one operation.

use std::ops::{ControlFlow, Deref};

use super::changes::{Changes, Found};
use super::layer::{state_of_point, value_of};
use super::view::View;
use super::volume::{BlockState, InoLease};
use crate::base::{DecodeError, Ino, Key, Value};
use crate::journal::{Change, Transaction};
use crate::volume::{FsError, FsResult, keys};

/// Inode numbers leased at a time, so that most creates need not write down the counter.
const INO_LEASE: u64 = 1024;

/// A view that collects changes. `get`, `scan` and `block` of it see them.
pub struct Edit<'a> {
    pub(super) view: View<'a>,
    pub(super) transaction: Transaction,
    pub(super) lease: &'a mut InoLease,
}

impl<'a> Deref for Edit<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl Edit<'_> {
    /// Sets a key.
    pub fn put(&mut self, key: Key, value: Value) {
        self.transaction.changes.push(Change::Put(key, value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Key) {
        self.transaction.changes.push(Change::Delete(key));
    }

    /// Removes the keys of `from..to`.
    pub fn delete_range(&mut self, from: Key, to: Key) {
        self.transaction.changes.push(Change::DeleteRange(from, to));
    }

    /// Writes file bytes; never reads what lies below.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let size = u64::from(self.view.block_size);
        self.transaction.changes.push(Change::Data {
            first: keys::block(ino, offset / size),
            offset: (offset % size) as u32,
            bytes: bytes.into(),
        });
    }

    /// Sets a block to what `Volume::seal`, or `View::block` of a file of this volume, gave.
    /// `Dirty` cannot be set this way and is taken for an error of the caller.
    pub fn put_block(&mut self, ino: Ino, index: u64, state: BlockState) {
        let key = keys::block(ino, index);
        match state {
            BlockState::Hole => self.delete(key),
            BlockState::Zero => self.put(key, Value::record([])),
            BlockState::Stored(pointer) => {
                let bytes = pointer.id.0.as_slice().into();
                self.put(
                    key,
                    Value {
                        bytes,
                        place: Some(pointer.place),
                    },
                );
            }
            BlockState::Dirty => unreachable!("a dirty block has no frame to point to"),
        }
    }

    /// Changes the volume's counts of allocated blocks and inodes.
    pub fn count(&mut self, blocks: i64, inodes: i64) {
        self.transaction.blocks_delta += blocks;
        self.transaction.inodes_delta += inodes;
    }

    /// A fresh inode number.
    pub fn allocate_ino(&mut self) -> FsResult<Ino> {
        if self.lease.next >= self.lease.end {
            let end = self.lease.next + INO_LEASE;
            if end >= 1 << 48 {
                return Err(FsError::NoSpace);
            }
            let value = Value::record(end.to_le_bytes().as_slice());
            self.put(keys::ino_lease(), value);
            self.lease.end = end;
        }
        let ino = Ino(self.lease.next);
        self.lease.next += 1;
        Ok(ino)
    }

    /// The value of a key, with the changes so far. See [`View::get`].
    pub fn get(&self, key: &Key) -> FsResult<Option<Value>> {
        let own = self.own();
        match own.find(key) {
            Found::Point(point) => Ok(value_of(point)),
            Found::Removed => Ok(None),
            Found::Below => self.view.get(key),
        }
    }

    /// Visits entries, with the changes so far. See [`View::scan`].
    pub fn scan(
        &self,
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()> {
        self.view.scan_with(&[&self.own()], from, to, visit)
    }

    /// What a block is, with the changes so far.
    pub fn block(&self, ino: Ino, index: u64) -> FsResult<BlockState> {
        let own = self.own();
        match own.find(&keys::block(ino, index)) {
            Found::Point(point) => Ok(state_of_point(point)),
            Found::Removed => Ok(BlockState::Hole),
            Found::Below => self.view.block(ino, index),
        }
    }

    /// The changes so far as a layer of their own. Operations look first and change then, so this
    /// is nearly always empty.
    fn own(&self) -> Changes {
        let mut own = Changes::default();
        if !self.transaction.changes.is_empty() {
            own.apply(&self.transaction, self.view.block_size);
        }
        own
    }
}

/// The end of the leased inode numbers, as stored.
pub(super) fn decode_lease(value: &Value) -> Result<u64, DecodeError> {
    let mut reader = crate::base::ByteReader::new("inode lease", &value.bytes);
    let end = reader.u64()?;
    reader.finish()?;
    Ok(end)
}
