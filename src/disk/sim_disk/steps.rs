//! Steps of the product that are left out, or at which something happens.

use super::faults::{Fault, broken};
use super::{SimDisk, State};
use crate::disk::{DiskResult, Step};

/// What is to happen when a step is reached, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtStep {
    /// The medium dies before it.
    Die(Step),
    /// The sync fails.
    Fail(Step),
}

impl SimDisk {
    /// From now on, and after every outage, the syncs of this step are answered and do nothing, and
    /// what asks `performs` leaves the step out.
    pub(crate) fn leave_out(&self, step: Step) {
        self.state.lock().left_out = Some(step);
    }

    /// Arms what is to happen at a step.
    pub(crate) fn arm_at(&self, at_step: AtStep) {
        self.state.lock().at_step = Some(at_step);
    }

    /// Bytes that were written below this path since the last syncs that did something.
    pub(crate) fn unsynced_bytes(&self, below: &str) -> u64 {
        let state = self.state.lock();
        let files = state.live.files.iter();
        files
            .filter(|(path, _)| path.starts_with(below))
            .filter_map(|(_, file)| state.files.get(file))
            .map(|image| image.unsynced_bytes())
            .sum()
    }
}

impl State {
    /// Before each step that is a sync.
    pub(super) fn reach(&mut self, step: Step, action: &str, path: &str) -> DiskResult<()> {
        self.alive(action, path)?;
        match self.at_step {
            Some(AtStep::Fail(at)) if at == step => {
                self.fault = Some(match action {
                    "sync" => Fault::FailSync(0),
                    _ => Fault::FailFolderSync(0),
                });
            }
            Some(AtStep::Die(at)) if at == step => {
                self.is_dead = true;
                self.has_failed = true;
                return Err(broken(action, path));
            }
            _ => return Ok(()),
        }
        self.at_step = None;
        Ok(())
    }
}
