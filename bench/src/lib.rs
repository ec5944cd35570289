//! Benchmarks of volfs.
//!
//! ```text
//! main        workloads on a volume beside other filesystems: `scripts/bench.sh`
//! peers       the filesystems
//! workloads   what is run on each, and how it is measured
//! outcome     what one run tells
//! attempts    runs that the host has disturbed are repeated
//! report      medians, ratios, tables and charts
//! micro       single layers beside their limits: `scripts/bench.sh --micro`
//! growth      what operations cost as something grows: `scripts/bench-growth.sh`
//! fresh       bytes that were never written before
//! quiet       when a disk rests
//! command     programs that are run to their end
//! server      programs that are run beside others
//! process     what the kernel counts for a process
//! bin         programs that measure a single question
//! ```

pub mod attempts;
pub mod command;
pub mod fresh;
pub mod growth;
pub mod micro;
pub mod outcome;
pub mod peers;
pub mod process;
pub mod quiet;
pub mod report;
pub mod server;
pub mod workloads;
