//! Benchmarks of volfs.
//!
//! Programs in `src/bin` measure a single question; workloads on a mounted volume beside other
//! filesystems are run by `scripts/bench.sh`.

pub mod process;
