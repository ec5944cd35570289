//! Work on a pool that no daemon serves: looking at it without changing it, and repair.

use super::access::check_exists;
use super::client::Client;
use super::{Access, Kind, ServiceError, ServiceResult};
use crate::base::progress::Progress;
use crate::pool::{CheckOptions, CheckReport, Pool, PoolError, RepairOptions};

impl Access {
    /// Checks the pool in this process and changes nothing; none if a daemon serves it, which
    /// must be asked then. `Kind::Busy` while another command has the pool open.
    pub fn inspect(
        &mut self,
        options: &CheckOptions,
        progress: &dyn Progress,
    ) -> ServiceResult<Option<CheckReport>> {
        check_exists(self.pool())?;
        if self.daemon()?.is_some() {
            return Ok(None);
        }
        match Pool::inspect(self.pool(), options, progress) {
            Ok(report) => Ok(Some(report)),
            Err(error) => Err(refused(error)),
        }
    }

    /// Repairs the pool in this process. `Kind::Busy` while a daemon serves it or another command
    /// has it open.
    pub fn repair(
        &mut self,
        options: RepairOptions,
        progress: &dyn Progress,
    ) -> ServiceResult<CheckReport> {
        check_exists(self.pool())?;
        if let Some(client) = Client::connect(self.pool())? {
            let message = format!(
                "pool '{}' is served by a daemon (pid {}): it cannot be repaired meanwhile",
                self.pool().display(),
                client.daemon().pid
            );
            return Err(ServiceError::new(Kind::Busy, message)
                .hint("`volfs scrub` verifies, and heals what has a healthy copy, beside it")
                .hint("to repair the rest, unmount its volumes and `volfs daemon stop`"));
        }
        Pool::repair(self.pool(), options, progress).map_err(refused)
    }
}

fn refused(error: PoolError) -> ServiceError {
    let is_locked = matches!(error, PoolError::Locked { .. });
    let error = ServiceError::from(error);
    match is_locked {
        true => error.hint("a daemon is starting or ending, or another command works: try again"),
        false => error,
    }
}
