//! The log goes to stderr; a daemon's stderr is the log file in its pool.

use std::env;

/// Starts the log. `VOLFS_LOG`, else `RUST_LOG`, overrides the filter.
pub(crate) fn init(default_filter: &str) {
    let said = |name| env::var(name).ok().filter(|filter| !filter.is_empty());
    let filter = said("VOLFS_LOG").or_else(|| said("RUST_LOG"));
    env_logger::Builder::new()
        .parse_filters(filter.as_deref().unwrap_or(default_filter))
        .format_timestamp_millis()
        .init();
}
