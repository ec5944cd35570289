//! The control API as a table: which use case answers which request, under which path.
//!
//! One declaration serves the server, the client and commands that work without a daemon. Fields
//! named in the path travel there; the others as a query string of a GET, else as a JSON body.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::*;
use super::{Service, ServiceResult};
use crate::base::progress::Progress;
use crate::pool::{CheckReport, GcReport};

/// Verb of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Makes or does something.
    Post,
    /// Ends something.
    Delete,
}

/// A request, and how it is answered.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// The answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// Verb.
    const VERB: Verb;
    /// Path, with the names of fields in braces.
    const PATH: &'static str;
    /// The answer is a stream: lines that report progress, then the answer.
    const REPORTS_PROGRESS: bool = false;
    /// It is answered even when the daemon is about to end.
    const ALWAYS: bool = false;

    /// Carries the request out.
    fn run(&self, service: &Service, progress: &dyn Progress) -> ServiceResult<Self::Answer>;
}

macro_rules! calls {
    ($(
        $verb:ident $path:literal $request:ty => $answer:ty,
        |$self:ident, $service:ident| $run:expr;
    )*) => {$(
        impl Call for $request {
            type Answer = $answer;
            const VERB: Verb = Verb::$verb;
            const PATH: &'static str = $path;

            fn run(&self, $service: &Service, _: &dyn Progress) -> ServiceResult<$answer> {
                let $self = self;
                $run
            }
        }
    )*};
}

calls! {
    Get "/v1/volumes" ListVolumes => Vec<VolumeDetails>, |_call, service| Ok(service.volumes());
    Post "/v1/volumes" CreateVolume => VolumeDetails, |call, service| service.create_volume(call);
    Delete "/v1/volumes/{volume}" RemoveVolume => Done,
        |call, service| service.remove_volume(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/set" SetVolume => VolumeDetails,
        |call, service| service.set_volume(call);
    Get "/v1/policies" ListPolicies => Vec<PolicyDetails>, |_call, service| service.policies();
    Post "/v1/volumes/{volume}/policy" SetPolicy => Done,
        |call, service| service.set_policy(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/policy/run" RunPolicy => PolicyRun,
        |call, service| service.run_policy(call);
    Get "/v1/trash" ListTrash => Vec<TrashDetails>, |_call, service| Ok(service.trash());
    Post "/v1/trash/{volume}/undelete" UndeleteVolume => VolumeDetails,
        |call, service| service.undelete_volume(call);
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/hold" HoldSnapshot => Done,
        |call, service| service.hold_snapshot(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/clone" CloneVolume => Cloned,
        |call, service| service.clone_volume(call);
    Post "/v1/volumes/{volume}/rollback" RollbackVolume => RolledBack,
        |call, service| service.rollback(call);
    Post "/v1/snapshots" CreateSnapshots => SnapshotsCreated,
        |call, service| service.create_snapshots(call);
    Delete "/v1/volumes/{volume}/snapshots/{snapshot}" RemoveSnapshot => Done,
        |call, service| service.remove_snapshot(call).map(|()| Done {});
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/diff" CompareSnapshot => Compared,
        |call, service| service.compare(call);
    Get "/v1/mounts" ListMounts => Vec<MountReport>, |_call, service| Ok(service.mounted());
    Post "/v1/mounts" MountVolume => Mounted, |call, service| service.mount(call);
    Delete "/v1/mounts" Unmount => Unmounted, |call, service| service.unmount(call);
    Post "/v1/mounts/all" MountAll => AllMounted, |_call, service| service.mount_all();
    Get "/v1/volumes/{volume}/stats" VolumeStats => StatsReport,
        |call, service| service.volume_stats(call);
    Get "/v1/status" DaemonStatus => StatusReport, |_call, service| Ok(service.status());
    Post "/v1/daemon/keep" KeepDaemon => Done, |_call, service| service.keep().map(|()| Done {});
    Post "/v1/daemon/stop" StopDaemon => Done,
        |call, service| service.stop(call).map(|()| Done {});
}

impl Call for Hello {
    type Answer = Introduction;
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/hello";
    const ALWAYS: bool = true;

    fn run(&self, service: &Service, _: &dyn Progress) -> ServiceResult<Introduction> {
        Ok(service.introduce())
    }
}

/// Calls that may take long: they tell how they go on.
macro_rules! long_calls {
    ($($verb:ident $path:literal $request:ty => $answer:ty, $run:path;)*) => {$(
        impl Call for $request {
            type Answer = $answer;
            const VERB: Verb = Verb::$verb;
            const PATH: &'static str = $path;
            const REPORTS_PROGRESS: bool = true;

            fn run(&self, service: &Service, progress: &dyn Progress) -> ServiceResult<$answer> {
                $run(service, self, progress)
            }
        }
    )*};
}

long_calls! {
    Get "/v1/volumes/{volume}" InspectVolume => VolumeDetails, Service::volume;
    Post "/v1/prune" PruneVolumes => Pruned, Service::prune_volumes;
    Get "/v1/snapshots" ListSnapshots => Vec<SnapshotDetails>, Service::snapshots;
    Get "/v1/volumes/{volume}/snapshots/{snapshot}" InspectSnapshot => SnapshotDetails,
        Service::snapshot;
    Get "/v1/space" MeasureSpace => SpaceReport, Service::space;
    Post "/v1/space/removal" MeasureRemoval => Freed, Service::space_of_removal;
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/restore" RestoreFiles => FilesRestored,
        Service::restore;
    Post "/v1/volumes/{volume}/snapshots/{snapshot}/export" ExportFiles => Exported,
        Service::export;
    Post "/v1/check" CheckPool => CheckReport, Service::check;
    Post "/v1/scrub" ScrubPool => CheckReport, Service::scrub;
    Post "/v1/gc" CollectGarbage => GcReport, Service::collect_garbage;
}
