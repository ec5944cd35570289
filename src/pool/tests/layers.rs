//! On how many frozen layers a volume stands.

use super::rig::Rig;
use super::{name, new_volume, put, snap};
use crate::base::progress::Silent;

/// Where a checkpoint is made beside them cuts do not wait for it, until the layers are too many;
/// where nobody makes one, they make it themselves, and sooner.
#[test]
fn cuts_wait_for_no_checkpoint_that_comes() {
    let rig = Rig::small();
    let pool = rig.open();
    pool.create_volume(&new_volume("v")).unwrap();
    let volume = pool.open_volume(&name("v")).unwrap();
    let depth_behind = |number: u8| {
        put(&volume, "f", &[number; 100]);
        let of = (name("v"), snap(&format!("s{number}")));
        pool.create_snapshots(&[of]).unwrap();
        volume.lock().base().depth()
    };
    let alone: Vec<usize> = (0..9).map(depth_behind).collect();
    // What the checkpoint has sealed, the cut behind it needs no layer for.
    assert_eq!(alone, [1, 2, 3, 4, 0, 1, 2, 3, 4]);

    // A thread that was asked and has not come yet.
    let _serving = pool.shared.admission.serve();
    let beside: Vec<usize> = (9..22).map(depth_behind).collect();
    let expected: Vec<usize> = (5..=16).chain([0]).collect();
    assert_eq!(beside, expected);
    assert_eq!(pool.check(&Silent).unwrap().violations, []);
}
