//! Snapshots that are made by themselves, and pruned.
//!
//! Only what a policy has made is ever removed by it, and neither what is held nor what is mounted.

use super::Service;
use super::names::time_name;
use crate::base::{Timestamp, VolumeName};
use crate::daemon::{
    Kind, PolicyDetails, PolicyRun, RemoveSnapshot, RunPolicy, ServiceError, ServiceResult,
    SetPolicy,
};
use crate::pool::{MadeBy, NewSnapshot, Policy, SetVolume, SnapshotInfo};

/// How long files open for writing are flushed before a snapshot that nobody waits for, in
/// milliseconds.
const FLUSH_MS: u64 = 10_000;

/// What the names of these snapshots begin with. Whose they are the record says, not the name.
const PREFIX: &str = "auto-";

impl Service {
    /// Sets or ends a volume's policy.
    pub fn set_policy(&self, request: &SetPolicy) -> ServiceResult<()> {
        let set = SetVolume {
            policy: Some(request.policy),
            ..SetVolume::default()
        };
        self.pool.set_volume(&request.volume, &set)?;
        Ok(())
    }

    /// All policies, by volume.
    pub fn policies(&self) -> ServiceResult<Vec<PolicyDetails>> {
        let with_policy = self.pool.volumes().into_iter();
        let with_policy = with_policy.filter_map(|info| Some((info.name, info.policy?)));
        let details = |(volume, policy): (VolumeName, Policy)| {
            let made = self.made_by_policy(&volume)?;
            Ok(PolicyDetails {
                volume: volume.to_string(),
                policy,
                snapshots: made.len() as u64,
                last: newest(&made).map(|time| time.to_string()),
            })
        };
        with_policy.map(details).collect()
    }

    /// Does what a volume's policy says, whether it is time or not.
    pub fn run_policy(&self, request: &RunPolicy) -> ServiceResult<PolicyRun> {
        let volume = &request.volume;
        let policy = self.pool.volume_info(volume)?.policy.ok_or_else(|| {
            ServiceError::new(Kind::NotFound, format!("volume '{volume}' has no policy"))
                .hint("`volfs policy set` gives it one")
        })?;
        match request.dry_run {
            true => self.would(volume, &policy),
            false => self.carry_out(volume, &policy),
        }
    }

    fn would(&self, volume: &VolumeName, policy: &Policy) -> ServiceResult<PolicyRun> {
        let made = self.made_by_policy(volume)?;
        let now = self.clock.now();
        let mut times: Vec<Timestamp> = made.iter().map(|one| one.created).collect();
        let is_due = policy.is_due(newest(&made), now);
        let name = time_name(PREFIX, now)?;
        let created = is_due.then(|| format!("{volume}@{name}"));
        times.extend(is_due.then_some(now));
        let kept = policy.kept(&times);
        let removed = surplus(&made, &kept);
        Ok(PolicyRun {
            created,
            removed: removed.map(full_name).collect(),
            warnings: Vec::new(),
        })
    }

    fn carry_out(&self, volume: &VolumeName, policy: &Policy) -> ServiceResult<PolicyRun> {
        let warnings = self.flush(&[volume], Some(FLUSH_MS));
        let new = NewSnapshot {
            made_by: MadeBy::Policy,
            ..NewSnapshot::default()
        };
        let made = self.make_by_time(PREFIX, |name| {
            let of = [(volume.clone(), name.clone())];
            self.pool.create_snapshots_as(&of, &new)
        })?;
        if let Some(session) = self.live_session(volume) {
            session.mount.snapshots_changed();
        }
        let mut run = PolicyRun {
            created: made.first().map(full_name),
            removed: Vec::new(),
            warnings,
        };
        let made = self.made_by_policy(volume)?;
        let times: Vec<Timestamp> = made.iter().map(|one| one.created).collect();
        for one in surplus(&made, &policy.kept(&times)) {
            let request = RemoveSnapshot {
                volume: volume.clone(),
                snapshot: one.name.clone(),
                force: false,
            };
            match self.remove_snapshot(&request) {
                Ok(()) => run.removed.push(full_name(one)),
                // It is mounted, or looked into: the next run tries again.
                Err(error) if error.kind == Kind::Busy => {}
                Err(error) => run
                    .warnings
                    .push(format!("'{}' stays: {error}", full_name(one))),
            }
        }
        Ok(run)
    }

    /// Does what is due, of all volumes, until the daemon is to end. One that fails does not keep
    /// the others from it.
    pub fn run_policies(&self) {
        let now = self.clock.now();
        for info in self.pool.volumes() {
            let Some(policy) = info.policy else {
                continue;
            };
            if self.sessions().is_stopping() {
                return;
            }
            let is_due = |made: Vec<SnapshotInfo>| policy.is_due(newest(&made), now);
            if !self.made_by_policy(&info.name).is_ok_and(is_due) {
                continue;
            }
            let outcome = self.carry_out(&info.name, &policy);
            let failures = self.count_failures(&info.name, outcome.is_err());
            match outcome {
                Ok(run) => {
                    let created = run.created.unwrap_or_default();
                    log::info!("policy: {created} made, {} removed", run.removed.len());
                    run.warnings
                        .iter()
                        .for_each(|text| log::warn!("policy: {text}"));
                }
                // Its mount and its pool are being closed.
                Err(_) if self.sessions().is_stopping() => {}
                // One that fails for hours does not fill the log.
                Err(error) if failures.is_power_of_two() => {
                    log::warn!("policy of volume '{}': {error}", info.name);
                }
                Err(_) => {}
            }
        }
    }

    /// How often in a row a volume's policy has failed.
    fn count_failures(&self, volume: &VolumeName, has_failed: bool) -> u64 {
        let mut failures = self.policy_failures.lock();
        if !has_failed {
            failures.remove(volume);
            return 0;
        }
        let count = failures.entry(volume.clone()).or_default();
        *count += 1;
        *count
    }

    fn made_by_policy(&self, volume: &VolumeName) -> ServiceResult<Vec<SnapshotInfo>> {
        let mut made = self.pool.snapshots(Some(volume))?;
        made.retain(|one| one.made_by == MadeBy::Policy);
        Ok(made)
    }
}

fn full_name(one: &SnapshotInfo) -> String {
    format!("{}@{}", one.volume, one.name)
}

fn newest(made: &[SnapshotInfo]) -> Option<Timestamp> {
    made.iter().map(|one| one.created).max()
}

/// Those that are not kept and may go.
fn surplus<'a>(
    made: &'a [SnapshotInfo],
    kept: &'a [bool],
) -> impl Iterator<Item = &'a SnapshotInfo> {
    let goes = made
        .iter()
        .zip(kept)
        .filter(|(one, kept)| !**kept && !one.held);
    goes.map(|(one, _)| one)
}
