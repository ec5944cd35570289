//! Snapshots that are made, and removed again, by themselves.

use std::fs;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::run::eventually;

use crate::{NOT_FOUND, USAGE, assert_says};

fn snapshots(fixture: &Fixture) -> Vec<String> {
    let names = fixture.ok(&["snapshot", "ls", "-q"]);
    names.lines().map(str::to_owned).collect()
}

/// A policy is shown as it was set, changed by the next one, and ended; what it made stays.
#[test]
fn a_policy_is_set_shown_and_ended() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    assert_eq!(
        fixture.ok(&[
            "policy",
            "set",
            "data",
            "--every",
            "15m",
            "--keep-last",
            "4"
        ]),
        "data"
    );
    let shown = fixture.json(&["policy", "show"]);
    assert_eq!(
        (&shown[0]["volume"], &shown[0]["every"]),
        (&"data".into(), &900.into())
    );
    assert_eq!(shown[0]["keep_last"], 4);
    fixture.ok(&[
        "policy",
        "set",
        "data",
        "--every",
        "1d",
        "--keep-weekly",
        "2",
    ]);
    assert_says(&fixture.ok(&["policy", "show", "data"]), &["WEEKLY", "1 d"]);
    fixture.ok(&["policy", "run", "data"]);
    fixture.ok(&["policy", "rm", "data"]);
    assert_eq!(
        fixture.json(&["policy", "show"]).as_array().unwrap().len(),
        0
    );
    assert_eq!(snapshots(&fixture).len(), 1);
    let stderr = fixture.fails(NOT_FOUND, &["policy", "run", "data"]);
    assert_says(&stderr, &["no policy", "volfs policy set"]);
    fixture.fails(
        NOT_FOUND,
        &["policy", "set", "none", "--every", "1h", "--keep-last", "1"],
    );
}

/// What keeps nothing, or comes every moment, is refused.
#[test]
fn policies_that_make_no_sense_are_refused() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let stderr = fixture.fails(USAGE, &["policy", "set", "data", "--every", "1h"]);
    assert_says(&stderr, &["keeps no snapshot", "--keep-daily"]);
    let often = [
        "policy",
        "set",
        "data",
        "--every",
        "59s",
        "--keep-last",
        "1",
    ];
    assert_says(&fixture.fails(USAGE, &often), &["a minute at least"]);
    for bad in ["often", "1y", "-1h"] {
        let every = format!("--every={bad}");
        fixture.fails(
            USAGE,
            &["policy", "set", "data", &every, "--keep-last", "1"],
        );
    }
    assert_eq!(
        fixture.json(&["policy", "show"]).as_array().unwrap().len(),
        0
    );
}

/// A run makes one and removes what is not kept, of its own only: neither what somebody else has
/// made, nor what is held, nor what is mounted. A dry run says so and does nothing.
#[test]
fn a_run_prunes_its_own_only() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    fixture.ok(&["snapshot", "create", "data@mine"]);
    fixture.ok(&["policy", "set", "data", "--every", "1h", "--keep-last", "2"]);
    let run = || fixture.ok(&["policy", "run", "data"]);
    let first = run();
    let held = first.strip_prefix("+ ").unwrap();
    fixture.ok(&["snapshot", "hold", held]);
    let second = run();
    let mounted = second.strip_prefix("+ ").unwrap();
    fixture.mount(mounted);
    let third = run();
    assert_eq!(third.lines().count(), 1, "{third}");
    let fourth = run();
    assert_eq!(fourth.lines().count(), 1, "{fourth}");
    fixture.umount(mounted);
    let dry = fixture.ok(&["policy", "run", "--dry-run", "data"]);
    assert_eq!(
        dry,
        format!("- {mounted}"),
        "it is not time for another one"
    );
    let fifth = run();
    assert_says(&fifth, &[&format!("- {mounted}"), &third.replace('+', "-")]);
    let left = snapshots(&fixture);
    assert_eq!(left.len(), 4, "{left:?}");
    for kept in ["data@mine", held, &fourth[2..]] {
        assert!(
            left.iter().any(|one| one == kept),
            "{kept} is gone: {left:?}"
        );
    }
    let found = fixture.inspect(&["snapshot", "inspect", held]);
    assert_eq!(
        (&found["MadeBy"], &found["Automatic"]),
        (&"policy".into(), &true.into())
    );
}

/// The daemon makes the snapshot by itself when it is time, with what was written.
#[test]
fn the_daemon_makes_them_by_itself() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount("data");
    fs::write(folder.join("file"), "content").unwrap();
    fixture.ok(&["policy", "set", "data", "--every", "1m", "--keep-last", "3"]);
    eventually("a snapshot is made", Duration::from_secs(60), || {
        !snapshots(&fixture).is_empty()
    });
    let made = snapshots(&fixture).remove(0);
    assert!(made.starts_with("data@auto-"), "{made}");
    let old = fixture.mount(&made);
    assert_eq!(fs::read_to_string(old.join("file")).unwrap(), "content");
}
