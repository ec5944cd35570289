//! Each layer beside what the machine could do at best. `scripts/bench.sh --micro` runs this;
//! `volfs_bench::micro` says which of these figures are compared.
//!
//! ```text
//! journal, fuse              a round trip: to the medium, to the daemon
//! seal, read, index, tree    work in memory, and writes that nobody waits for
//! store                      what they need: stores, blocks, and a clock
//! ```

mod fuse;
mod index;
mod journal;
mod read;
mod seal;
mod store;
mod tree;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    // First what waits for the medium: the others leave dirty pages.
    journal::bench(&mut criterion);
    fuse::bench(&mut criterion);
    read::bench(&mut criterion);
    tree::bench(&mut criterion);
    index::bench(&mut criterion);
    seal::bench(&mut criterion);
    criterion.final_summary();
}
