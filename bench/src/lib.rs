//! Benchmarks of volfs.
//!
//! ```text
//! main        workloads on a volume beside other filesystems: `scripts/bench.sh`
//! peers       the filesystems
//! workloads   what is run on each, and how it is measured
//! report      medians, ratios, tables and charts
//! bin         programs that measure a single question
//! ```

pub mod command;
pub mod peers;
pub mod process;
pub mod report;
pub mod workloads;
