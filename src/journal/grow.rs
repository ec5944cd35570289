//! Making a further file of the log, outside the lock that appends need.

use std::sync::Arc;

use super::append::{Slot, Writer};
use super::open::{Journal, Shared};
use super::slots;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::thread::{self, JoinHandle};

/// A further file in the making. Files are never given back, so that this happens a few times in
/// the life of a pool; hence a thread for each, and none that waits.
#[derive(Default)]
pub(super) struct Growth {
    running: bool,
    thread: Option<JoinHandle<()>>,
}

impl Growth {
    /// Whether a file is being made.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }
}

impl Journal {
    /// Starts to make a further file. False when there may be no more, when the last attempt
    /// failed and nothing was released since, and when no thread could be started.
    pub(super) fn start_growth(&self, writer: &mut Writer) -> bool {
        let shared = &self.shared;
        if writer.slots.len() >= shared.files_max as usize
            || shared.growth_blocked.load(Ordering::Acquire)
        {
            return false;
        }
        let number = writer
            .slots
            .iter()
            .map(|slot| slot.number + 1)
            .max()
            .unwrap_or(0);
        let making = Making {
            shared: Arc::clone(shared),
            made: None,
        };
        let spawned = thread::Builder::new()
            .name("volfs-journal".to_owned())
            .spawn(move || making.run(number));
        match spawned {
            Ok(thread) => {
                writer.growth = Growth {
                    running: true,
                    thread: Some(thread),
                };
                true
            }
            Err(error) => {
                log::warn!("cannot start a thread that makes a journal file: {error}");
                false
            }
        }
    }
}

impl Drop for Journal {
    /// Waits for a file in the making, so that nothing writes to the medium afterwards.
    fn drop(&mut self) {
        let thread = self.shared.writer.lock().growth.thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that makes a journal file has panicked");
        }
    }
}

/// The work of the thread; when dropped, also by a panic, those who wait for it go on.
struct Making {
    shared: Arc<Shared>,
    made: Option<Slot>,
}

impl Making {
    fn run(mut self, number: u32) {
        let disk = &*self.shared.disk;
        match slots::make(disk, number, self.shared.file_bytes) {
            Ok(file) => {
                self.made = Some(Slot {
                    number,
                    file,
                    held: None,
                })
            }
            Err(error) => {
                log::warn!(
                    "cannot make a further journal file: {error}: {}",
                    error.source
                );
                // It may not even exist; a file too short is ignored at the next start.
                if let Err(error) = disk.remove(&slots::slot_path(number)) {
                    log::warn!("cannot remove an unfinished journal file: {error}");
                }
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let mut writer = self.shared.writer.lock();
        writer.growth.running = false;
        match self.made.take() {
            Some(slot) => {
                writer.slots.push(slot);
                self.shared.files.fetch_add(1, Ordering::AcqRel);
            }
            None => self.shared.growth_blocked.store(true, Ordering::Release),
        }
        drop(writer);
        self.shared.grown.notify_all();
    }
}
