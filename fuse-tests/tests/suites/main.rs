//! Suites of others, each run as it is.

mod pjdfstest;
