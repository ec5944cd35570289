//! Trees of real programs: git, tar, a compiler. Compared by checksum over a remount.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::run::run_for;
use fuse_tests::tree::{assert_same, summarize};
use fuse_tests::{Place, run};

const LIMIT: Duration = Duration::from_secs(120);

fn shell(folder: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command
        .args(["-e", "-c", script])
        .current_dir(folder)
        .env("HOME", folder);
    run_for(&mut command, LIMIT).ok()
}

/// Writes a C program of many files, with a makefile, to a folder.
fn write_program(folder: &Path, files: u32) {
    fs::create_dir_all(folder).unwrap();
    let mut main = String::new();
    let mut calls = String::new();
    for number in 0..files {
        let code = format!(
            "#include <stdio.h>\n#include <string.h>\n\
             int part{number}(int x) {{ char s[32]; snprintf(s, 32, \"%d\", x + {number}); \
             return (int)strlen(s); }}\n"
        );
        fs::write(folder.join(format!("part{number}.c")), code).unwrap();
        main += &format!("int part{number}(int);\n");
        calls += &format!("    sum += part{number}({number});\n");
    }
    main += &format!(
        "#include <stdio.h>\nint main(void) {{\n    int sum = 0;\n{calls}    \
         printf(\"%d\\n\", sum);\n    return 0;\n}}\n"
    );
    fs::write(folder.join("main.c"), main).unwrap();
    let makefile = "OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\n\
                    program: $(OBJECTS)\n\t$(CC) -o $@ $^\n";
    fs::write(folder.join("Makefile"), makefile).unwrap();
}

/// A git repository is made, packed, cloned and checked on the volume; after a remount git and
/// every checksum agree.
#[test]
fn git_repository_is_whole_after_a_remount() {
    let place = Place::new();
    write_program(&place.path("origin"), 50);
    let identity = "git config user.name n && git config user.email e@example.org";
    shell(
        &place.path("origin"),
        &format!(
            "git init -q . && {identity} && git add . && git commit -qm first && \
             for i in 1 2 3 4 5; do echo $i >> part$i.c; git commit -qam $i; done && git gc -q"
        ),
    );
    shell(
        place.root(),
        "git clone -q --no-hardlinks origin clone && rm -rf .cache",
    );
    let (before, log) = (
        summarize(place.root()).unwrap(),
        shell(&place.path("clone"), "git log"),
    );

    place.remount();
    assert_same(&before, &summarize(place.root()).unwrap());
    for repository in ["origin", "clone"] {
        let ran = shell(
            &place.path(repository),
            "git fsck --full --strict 2>&1; git status -s",
        );
        assert!(!ran.contains("error") && !ran.contains(" M "), "{ran}");
    }
    assert_eq!(shell(&place.path("clone"), "git log"), log);
}

/// A tree is unpacked and compiled; the program runs, and every file is the same after a remount.
#[test]
fn compiled_tree_is_whole_after_a_remount() {
    let place = Place::new();
    let host = place.fixture().folder().join("program");
    write_program(&host, 60);
    let archive = place.fixture().folder().join("program.tar");
    run(Command::new("tar").args([
        "-C",
        text(&host),
        "--format=posix",
        "-cf",
        text(&archive),
        ".",
    ]))
    .ok();
    fs::create_dir(place.path("program")).unwrap();
    run(Command::new("tar").args(["-C", text(&place.path("program")), "-xf", text(&archive)])).ok();
    assert_same(
        &summarize(&host).unwrap(),
        &summarize(&place.path("program")).unwrap(),
    );

    shell(&place.path("program"), "make -s -j2");
    let output = shell(&place.path("program"), "./program");
    let before = summarize(place.root()).unwrap();
    place.remount();
    assert_same(&before, &summarize(place.root()).unwrap());
    assert_eq!(shell(&place.path("program"), "./program"), output);
    let again = shell(&place.path("program"), "make");
    assert!(again.contains("up to date"), "the times changed: {again}");
}

/// `cp -a --sparse=always` brings owners, modes, times, links, attributes and holes over.
#[test]
fn archive_copy_is_faithful() {
    let place = Place::new();
    let source = place.fixture().folder().join("source");
    fs::create_dir(&source).unwrap();
    shell(
        &source,
        "mkdir -p a/b && echo text > a/b/file && ln a/b/file a/hard && ln -s b/file a/soft && \
         mkfifo a/pipe && chown 999:998 a/b && chmod 2750 a/b && touch -d '2001-02-03 04:05:06' \
         a/hard && truncate -s 50M a/sparse && echo end >> a/sparse",
    );
    shell(
        &source,
        &format!("cp -a --sparse=always . {}", text(place.root())),
    );
    place.remount();
    assert_same(
        &summarize(&source).unwrap(),
        &summarize(place.root()).unwrap(),
    );
    let blocks =
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(place.path("a/sparse")).unwrap());
    assert!(blocks < 2048, "{blocks} blocks of a hole are allocated");
}
