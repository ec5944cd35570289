//! Containers whose data lies on volumes: Docker's and Podman's alike.

mod entrypoint;
mod life;
mod propagation;
mod rootless;

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::containers::Engine;
use fuse_tests::docker::Docker;
use fuse_tests::podman::Podman;

const LIMIT: Duration = Duration::from_secs(240);

/// Runs a test with each engine, in a fixture of its own.
fn with_docker(test: impl FnOnce(&Fixture, &dyn Engine)) {
    let fixture = Fixture::with_limit(LIMIT);
    let docker = Docker::start(fixture.folder());
    test(&fixture, &docker);
}

fn with_podman(test: impl FnOnce(&Fixture, &dyn Engine)) {
    let fixture = Fixture::with_limit(LIMIT);
    let podman = Podman::new(fixture.folder());
    test(&fixture, &podman);
}
