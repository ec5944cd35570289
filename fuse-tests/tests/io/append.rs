//! O_APPEND from several processes: nothing is lost, torn or in the wrong order.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use fuse_tests::Place;
use fuse_tests::fixture::text;

const PROCESSES: usize = 4;
const LINES: usize = 250;

fn wait_for(children: Vec<Child>) {
    for mut child in children {
        assert!(child.wait().expect("a child").success());
    }
}

/// A shell that appends lines, each with one write(2).
fn shell(path: &Path, name: usize) -> Child {
    let script = format!(
        "for ((n = 0; n < {LINES}; n++)); do printf 'w{name} %06d\\n' $n; done >>'{}'",
        path.display()
    );
    let mut command = Command::new("bash");
    command.arg("-c").arg(script);
    command.spawn().expect("bash is there")
}

/// The lines of each writer are all there, in order.
#[track_caller]
fn check(path: &Path) {
    let content = fs::read_to_string(path).expect("only text was written");
    assert_eq!(content.lines().count(), PROCESSES * LINES);
    for name in 0..PROCESSES {
        let start = format!("w{name} ");
        let lines = content.lines().filter_map(|line| line.strip_prefix(&start));
        let numbers: Vec<usize> = lines.map(|line| line.parse().expect("a number")).collect();
        assert_eq!(numbers, (0..LINES).collect::<Vec<_>>(), "writer {name}");
    }
}

/// Buffered appends of four processes, with the writeback cache and without.
#[test]
fn appends_of_processes_interleave() {
    let place = Place::new();
    for (name, options) in [("cached", [].as_slice()), ("through", &["--write-through"])] {
        place.remount_with(options);
        let path = place.path(name);
        wait_for((0..PROCESSES).map(|name| shell(&path, name)).collect());
        check(&path);
        place.remount();
        check(&path);
    }
}

/// Appends with O_DIRECT of several processes, each of one page, beside buffered ones.
#[test]
fn direct_and_buffered_appends_interleave() {
    const PAGES: usize = 40;
    let place = Place::new();
    let path = place.path("f");
    fs::write(&path, "").expect("a new file");
    let page_of = |name: usize| vec![b'a' + name as u8; 4096];
    let append = |name: usize| {
        let source = place.fixture().folder().join(format!("source{name}"));
        fs::write(&source, page_of(name).repeat(PAGES)).expect("the folder is ours");
        // Odd ones through the page cache.
        let flags = ["append,direct", "append"][name % 2];
        let mut command = Command::new("dd");
        command.args([
            &format!("if={}", text(&source)),
            &format!("of={}", text(&path)),
        ]);
        command.args([
            "bs=4096",
            "conv=notrunc",
            "status=none",
            &format!("oflag={flags}"),
        ]);
        command.spawn().expect("dd is there")
    };
    wait_for((0..PROCESSES).map(append).collect());
    place.remount();
    let content = fs::read(&path).expect("it is there");
    assert_eq!(content.len(), PROCESSES * PAGES * 4096);
    let mut counts = [0; PROCESSES];
    for page in content.chunks(4096) {
        let name = (page[0] - b'a') as usize;
        assert!(page == page_of(name), "a torn page");
        counts[name] += 1;
    }
    assert_eq!(counts, [PAGES; PROCESSES]);
}
