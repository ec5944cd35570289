//! Outages under load, at random moments: the daemon is killed, or the disk below the pool loses
//! power. What was promised is there afterwards, and every database is sound.
//!
//! `VOLFS_TEST_ROUNDS` sets the outages of each test, `VOLFS_TEST_SEED` what is written and the
//! moments.

mod loads;
mod power_loss;
mod recovery_time;
mod scene;
mod sigkill;
