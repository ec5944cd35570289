//! Waiting for the checkpoints that the pool makes anyhow.

use std::time::Duration;

use super::still_wanted;
use crate::base::progress::Progress;
use crate::base::sync::atomic::Ordering;
use crate::pool::{Pool, PoolResult};
use crate::volume::core::admission::Room;

/// Between two looks for a checkpoint.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait: a checkpoint's usual age and the time that it takes.
const WAIT_MAX: Duration = Duration::from_secs(45);

/// How long a collection waits for a checkpoint that is not made for it: each one made early writes
/// what would have been overwritten before the next, and so makes garbage itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Patience {
    /// Bytes of segments up to which it waits; 0: not at all.
    pub stored_bytes_max: u64,
}

impl Pool {
    /// Returns when a checkpoint has been published since: one of the pool's own if there is
    /// something to publish and patience lasts, which ends when others wait for their turn, else
    /// one that is made here.
    pub(super) fn publish_patiently(
        &self,
        patience: Patience,
        progress: &dyn Progress,
    ) -> PoolResult<()> {
        let clock = &self.shared.clock;
        let generation = || self.published.lock().newest.generation;
        let (asked, until) = (generation(), clock.monotonic() + WAIT_MAX);
        while self.can_wait(patience) && clock.monotonic() < until {
            still_wanted(progress)?;
            if generation() != asked {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        self.checkpoint()
    }

    fn can_wait(&self, patience: Patience) -> bool {
        let (admission, store) = (&self.shared.admission, &self.shared.store);
        patience.stored_bytes_max > 0
            && self.maintenance_waiters.load(Ordering::Relaxed) == 0
            && admission.dirty() > 0
            && admission.room() == Room::Enough
            && store.stats().stored_bytes < patience.stored_bytes_max
    }
}
