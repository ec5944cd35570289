//! Maps, layers and data against a plain map, without any POSIX.

mod interleavings;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::testing::Bench;
use super::volume::Volume;
use crate::base::{Ino, Key, Value};
use crate::volume::{BlockState, EPOCH_MAX, FsError, Request, keys};

const WHO: Request = Request {
    epoch: None,
    unique: 0,
    uid: 0,
    gid: 0,
};
const BLOCK: u32 = 4096;
const FILE: Ino = Ino(50);
/// Bytes of the file that the model holds: a few blocks.
const FILE_BYTES: usize = 6 * BLOCK as usize;

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Write(usize, usize, u8),
    Seal(u8, u8),
    Punch(u8, u8),
    Freeze,
    Checkpoint,
}

fn op() -> impl Strategy<Value = Op> {
    let offset = 0..FILE_BYTES;
    prop_oneof![
        4 => (0u8..20, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (0u8..20).prop_map(Op::Delete),
        1 => (0u8..20, 0u8..20).prop_map(|(from, to)| Op::DeleteRange(from, to)),
        6 => (offset, 1usize..9000, 1u8..).prop_map(|(at, len, byte)| Op::Write(at, len, byte)),
        2 => (0u8..6, any::<u8>()).prop_map(|(block, byte)| Op::Seal(block, byte)),
        1 => (0u8..6, 0u8..6).prop_map(|(from, to)| Op::Punch(from, to)),
        2 => Just(Op::Freeze),
        1 => Just(Op::Checkpoint),
    ]
}

fn key(number: u8) -> Key {
    Key::new(9, 9, u64::from(number))
}

#[derive(Clone)]
struct Model {
    keys: BTreeMap<u8, u8>,
    file: Vec<u8>,
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Put(key, value) => {
                self.keys.insert(key, value);
            }
            Op::Delete(key) => {
                self.keys.remove(&key);
            }
            Op::DeleteRange(from, to) => self.keys.retain(|key, _| *key < from || *key >= to),
            Op::Write(at, len, byte) => {
                let end = (at + len).min(FILE_BYTES);
                self.file[at..end].fill(byte);
            }
            Op::Seal(block, byte) => self.blocks(block, block + 1).fill(byte),
            Op::Punch(from, to) if from < to => self.blocks(from, to).fill(0),
            Op::Punch(..) | Op::Freeze | Op::Checkpoint => {}
        }
    }

    fn blocks(&mut self, from: u8, to: u8) -> &mut [u8] {
        &mut self.file[usize::from(from) * BLOCK as usize..usize::from(to) * BLOCK as usize]
    }

    fn compare(&self, volume: &Volume) {
        let mut seen = BTreeMap::new();
        let plan = volume
            .read(&WHO, |view| {
                view.scan(&key(0), &key(255), &mut |key, value| {
                    seen.insert(key.sub() as u8, value.bytes[0]);
                    Ok(ControlFlow::Continue(()))
                })?;
                for number in 0..20 {
                    let value = view.get(&key(number))?.map(|value| value.bytes[0]);
                    assert_eq!(value, self.keys.get(&number).copied());
                }
                view.plan_read(FILE, 0, FILE_BYTES)
            })
            .unwrap();
        assert_eq!(seen, self.keys);
        assert!(
            volume.execute(plan).unwrap() == self.file,
            "the file differs"
        );
        let part = volume
            .read(&WHO, |view| view.plan_read(FILE, 4000, 5000))
            .unwrap();
        assert!(
            volume.execute(part).unwrap() == self.file[4000..9000],
            "a part differs"
        );
    }
}

fn apply(bench: &Bench, op: &Op) {
    let volume = &bench.volume;
    let block = |index: u8| keys::block(FILE, u64::from(index));
    match *op {
        Op::Seal(index, byte) => {
            let states = volume.seal(&[&[byte; BLOCK as usize]]).unwrap();
            volume
                .update(&WHO, |edit| {
                    edit.put_block(FILE, u64::from(index), states[0]);
                    Ok(())
                })
                .unwrap();
        }
        Op::Freeze => drop(bench.freeze()),
        Op::Checkpoint => bench.checkpoint(),
        _ => volume
            .update(&WHO, |edit| {
                match *op {
                    Op::Put(number, value) => edit.put(key(number), Value::record([value])),
                    Op::Delete(number) => edit.delete(key(number)),
                    Op::DeleteRange(from, to) => edit.delete_range(key(from), key(to)),
                    Op::Write(at, len, byte) => {
                        let len = len.min(FILE_BYTES - at);
                        edit.write(FILE, at as u64, &vec![byte; len]);
                    }
                    Op::Punch(from, to) => edit.delete_range(block(from), block(to)),
                    Op::Seal(..) | Op::Freeze | Op::Checkpoint => {}
                }
                Ok(())
            })
            .unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is put, removed and written, in whatever layers it lies, reads as in a plain map;
    /// and a state frozen on the way shows its moment to the end.
    #[test]
    fn model_layers_equal_a_plain_map(
        ops in prop::collection::vec(op(), 1..60),
        frozen in 0usize..60,
    ) {
        let bench = Bench::new(BLOCK);
        let mut model = Model { keys: BTreeMap::new(), file: vec![0; FILE_BYTES] };
        let mut kept = None;
        for (number, op) in ops.iter().enumerate() {
            apply(&bench, op);
            model.apply(op);
            model.compare(&bench.volume);
            if number == frozen {
                kept = Some((bench.snapshot(bench.freeze()), model.clone()));
            }
        }
        bench.checkpoint();
        model.compare(&bench.volume);
        if let Some((snapshot, model)) = kept {
            model.compare(&snapshot);
        }
    }
}

/// A volume has the changed bytes of its layers until they are sealed; those that it shares with
/// a snapshot both have, and the pool has them once.
#[test]
fn changed_bytes_are_a_volumes_own() {
    let bench = Bench::new(BLOCK);
    let (volume, pool) = (&bench.volume, &bench.shared.admission);
    assert_eq!(volume.dirty_bytes(), 0);
    apply(&bench, &Op::Write(0, 5000, 1));
    let first = volume.dirty_bytes();
    assert!(first >= 5000);

    let snapshot = bench.snapshot(bench.freeze());
    apply(&bench, &Op::Write(0, 2000, 2));
    let both = volume.dirty_bytes();
    assert!(both >= first + 2000);
    assert_eq!((snapshot.dirty_bytes(), pool.dirty()), (first, both));

    bench.checkpoint();
    assert_eq!((volume.dirty_bytes(), snapshot.dirty_bytes()), (0, 0));
    assert_eq!(pool.dirty(), 0);
}

/// An operation that fails leaves nothing behind, and sees its own changes before.
#[test]
fn a_failed_operation_changes_nothing() {
    let bench = Bench::new(BLOCK);
    let result: Result<(), FsError> = bench.volume.update(&WHO, |edit| {
        edit.put(key(1), Value::record([1]));
        edit.write(FILE, 0, b"data");
        assert_eq!(edit.get(&key(1))?.unwrap().bytes[..], [1]);
        assert_eq!(edit.block(FILE, 0)?, BlockState::Dirty);
        Err(FsError::Exists)
    });
    assert!(matches!(result, Err(FsError::Exists)));
    let (value, block) = bench
        .volume
        .read(&WHO, |view| Ok((view.get(&key(1))?, view.block(FILE, 0)?)))
        .unwrap();
    assert_eq!((value, block), (None, BlockState::Hole));
}

/// Inode numbers are never given out twice, also after the lease was written down and read back.
#[test]
fn inode_numbers_are_given_out_once() {
    let bench = Bench::new(BLOCK);
    let mut last = 0;
    for round in 0..2100u64 {
        let ino = bench
            .volume
            .update(&WHO, |edit| {
                let ino = edit.allocate_ino()?;
                edit.put(keys::inode(ino), Value::record([1]));
                Ok(ino.0)
            })
            .unwrap();
        assert!(ino > last);
        last = ino;
        if round == 1000 {
            bench.checkpoint();
            let base = bench.freeze();
            bench.volume.reset(&mut bench.volume.lock(), base);
        }
    }
}

/// Rollback epochs leave two bits free: after the highest comes 0.
#[test]
fn epochs_start_again() {
    let bench = Bench::new(4096);
    let base = bench.freeze();
    let epochs: Vec<u16> = (0..=EPOCH_MAX)
        .map(|_| {
            bench.volume.reset(&mut bench.volume.lock(), base.clone());
            bench.volume.epoch()
        })
        .collect();
    assert!(
        epochs
            .iter()
            .zip(1..)
            .all(|(epoch, next)| *epoch == next & EPOCH_MAX)
    );
    assert_eq!(epochs.last(), Some(&0));
    assert_eq!(EPOCH_MAX, 0x3fff);
}

/// A snapshot takes no changes; a request of an epoch that is over is refused.
#[test]
fn snapshots_and_old_epochs_refuse_changes() {
    let bench = Bench::new(BLOCK);
    let snapshot = bench.snapshot(bench.freeze());
    let change = |volume: &Volume, request: &Request| {
        volume.update(request, |edit| {
            edit.put(key(1), Value::record([1]));
            Ok(())
        })
    };
    assert!(matches!(change(&snapshot, &WHO), Err(FsError::ReadOnly)));
    let now = Request {
        epoch: Some(0),
        ..WHO
    };
    change(&bench.volume, &now).unwrap();
    let base = bench.freeze();
    bench.volume.reset(&mut bench.volume.lock(), base);
    assert!(matches!(change(&bench.volume, &now), Err(FsError::Stale)));
    change(
        &bench.volume,
        &Request {
            epoch: Some(1),
            ..WHO
        },
    )
    .unwrap();
}

/// Equal blocks are stored once, zeros not at all.
#[test]
fn sealing_stores_equal_blocks_once() {
    let bench = Bench::new(BLOCK);
    let (one, zero) = ([7; BLOCK as usize], [0; BLOCK as usize]);
    let states = bench.volume.seal(&[&one, &zero, &one]).unwrap();
    assert_eq!(states[1], BlockState::Hole);
    assert_eq!(states[0], states[2]);
}
