//! Writers that wait for room, under explored schedules.

use std::sync::Arc;
use std::time::Duration;

use super::super::admission::{Admission, Charge, Checkpointed, Need, Refusal, Wake};
use crate::base::sync::{Mutex, Sabotage, explore, explore_sabotaged, thread};

const CAP: u64 = 1000;

/// Three writers, each of which fills the memory by itself and gives it back.
fn writers_take_turns() {
    let admission = Admission::new(CAP);
    let _serving = admission.serve();
    let write = |_| {
        let admission = admission.clone();
        thread::spawn(move || {
            admission.enter(Need::Room, || (0, CAP)).unwrap();
            Charge::new(&admission).set(CAP);
        })
    };
    let threads: Vec<_> = (0..3).map(write).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(admission.dirty(), 0);
}

/// A writer never misses the return of the memory that it waits for.
#[test]
fn no_writer_misses_the_room_it_waits_for() {
    explore(writers_take_turns);
}

/// The exploration notices room that is told without the lock under which writers look.
#[test]
fn room_told_without_the_lock_is_noticed() {
    let how = explore_sabotaged(Sabotage::RoomWithoutGate, writers_take_turns);
    assert!(how.contains("deadlock"), "{how}");
}

/// Writers that fill the memory, a thread that empties it when asked, and the end of the pool:
/// every writer gets in or is told that the pool closes, and the thread ends.
#[test]
fn writers_the_checkpoint_thread_and_the_close_meet() {
    explore(|| {
        let admission = Admission::new(CAP);
        let dirty = Arc::new(Mutex::new(Vec::new()));
        let checkpoints = thread::spawn({
            let (admission, dirty) = (admission.clone(), dirty.clone());
            let serving = admission.serve();
            move || {
                let _serving = serving;
                loop {
                    match admission.wait_for_work(Duration::MAX) {
                        Wake::Closed => return,
                        Wake::Wanted | Wake::Timeout => {}
                    }
                    let frozen = std::mem::take(&mut *dirty.lock());
                    drop(frozen);
                    admission.checkpointed(Checkpointed::Done);
                }
            }
        });
        let write = |_| {
            let (admission, dirty) = (admission.clone(), dirty.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    match admission.enter(Need::Room, || (0, CAP)) {
                        Ok(()) => {
                            let mut charge = Charge::new(&admission);
                            charge.set(CAP / 2);
                            dirty.lock().push(charge);
                        }
                        Err(refusal) => assert_eq!(refusal, Refusal::Closed),
                    }
                }
            })
        };
        let mut writers: Vec<_> = (0..2).map(write).collect();
        writers.remove(0).join().unwrap();
        admission.close();
        writers.remove(0).join().unwrap();
        checkpoints.join().unwrap();
        dirty.lock().clear();
        assert_eq!(admission.dirty(), 0);
    });
}
