//! pjdfstest on a volume and, for comparison, on ext4 and on another FUSE filesystem.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::pjdfstest::{Outcome, run_suite, version};
use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use fuse_tests::{Fixture, HostDisk, HostFs, mounts};

const LIMIT: Duration = Duration::from_secs(600);

/// What the suite skips on every FUSE filesystem and not on ext4: the C library's pathconf knows
/// no largest number of links for a FUSE filesystem, whatever that has.
const SKIPPED_ON_FUSE: [&str; 1] = ["link::link_count_max"];

/// Skipped cases side by side, and failed ones.
fn print(found: &Outcome, on: &str, expected: &Outcome) {
    let names: BTreeSet<&String> = found
        .skipped
        .keys()
        .chain(expected.skipped.keys())
        .collect();
    println!("skipped on {on} | on ext4");
    for name in names {
        let reason = |of: &Outcome| {
            of.skipped
                .get(name)
                .map_or("(run)", String::as_str)
                .to_owned()
        };
        println!("  {name}: {} | {}", reason(found), reason(expected));
    }
    for (name, details) in &found.failed {
        println!("failed on {on}: {name}: {details}");
    }
}

/// No case fails, and none is skipped that runs on ext4, but for what no FUSE filesystem can have.
/// With and without the writeback cache, which is the kernel's own keeper of sizes and times.
#[test]
fn no_case_fails_or_is_skipped() {
    let fixture = Fixture::with_limit(LIMIT);
    let scratch = fixture.folder();
    let version = version();
    let ext4 = HostDisk::new(scratch, HostFs::Ext4);
    let expected = run_suite(ext4.path(), scratch, scratch);
    expected.suite(&version, "ext4").record();
    assert!(
        expected.failed.is_empty(),
        "on ext4: {:#?}",
        expected.failed
    );

    for (volume, options) in [("cached", &[][..]), ("through", &["--write-through"][..])] {
        fixture.ok(&["volume", "create", volume]);
        let path = fixture.mount_point(volume);
        let mount = ["mount", volume, text(&path), "-o", "suid,dev"];
        fixture.ok(&[&mount[..], options].concat());
        let found = run_suite(&path, scratch, scratch);
        print(&found, "volfs", &expected);
        let on = [&["volfs"][..], options].concat().join(" ");
        found.suite(&version, &on).record();

        assert!(found.failed.is_empty(), "{options:?}: {:#?}", found.failed);
        let more = found.skipped.keys();
        let more: Vec<_> = more
            .filter(|name| !expected.skipped.contains_key(*name))
            .collect();
        assert_eq!(more, SKIPPED_ON_FUSE, "skipped on volfs only");
    }
    drop(ext4);
}

/// The control: the same run on another FUSE filesystem, which mirrors a folder of ext4. What
/// fails or is skipped there for the same reason is the kernel's doing.
#[test]
#[ignore = "needs a passthrough filesystem in VOLFS_TEST_PASSTHROUGH: scripts/conformance.sh"]
fn control_on_a_passthrough_filesystem() {
    let command = env::var("VOLFS_TEST_PASSTHROUGH").expect("a program and its options");
    let name = env::var("VOLFS_TEST_PASSTHROUGH_NAME").unwrap_or_else(|_| command.clone());
    let fixture = Fixture::with_limit(LIMIT);
    let scratch = fixture.folder();
    let ext4 = HostDisk::new(scratch, HostFs::Ext4);
    let expected = run_suite(ext4.path(), scratch, scratch);
    let path = fixture.mount_point("mirror");
    let mut words: Vec<&str> = command.split_whitespace().collect();
    let program = words.remove(0);
    words.extend([text(ext4.path()), text(&path)]);
    let mirror = Server::start(None, Path::new(program), &words, scratch.join("mirror.log"));
    eventually("the mirror is mounted", Duration::from_secs(10), || {
        mounts::mount_at(&path).is_some()
    });
    let found = run_suite(&path, scratch, scratch);
    print(&found, &name, &expected);
    found.suite(&version(), &name).record();
    mounts::detach_below(&path);
    drop(mirror);
    for name in SKIPPED_ON_FUSE {
        assert!(found.skipped.contains_key(name), "{name} runs on {command}");
    }
}
