//! The source of a C program, unpacked and compiled.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command::{command, run as run_command, text};
use crate::fresh::{Bytes, empty_folder};
use crate::outcome::Outcome;

const SECONDS_PER_HOUR: f64 = 3600.0;
/// Included in every file that is compiled.
const MARK: &str = "mark.h";
/// Bytes in front of a file are fewer than this: no block is full of them.
const MARK_BYTES_MAX: u64 = 2048;
/// What Redis' makefiles are told: compile without optimizing, from the C files alone.
const SETTINGS: [&str; 5] = [
    "-j2",
    "OPTIMIZATION=-O0",
    "MALLOC=libc",
    "PYTHON=",
    "USE_SYSTEMD=no",
];

/// Unpacks and compiles the program in `source`, by a copy of it in `scratch` that has other bytes
/// each time. The rate is that of such runs in an hour.
pub(super) fn run(folder: &Path, scratch: &Path, source: &Path, seed: u64) -> Result<Outcome> {
    let (copy, archive) = (scratch.join("source"), scratch.join("source.tar"));
    empty_folder(&copy)?;
    let mut bytes = Bytes::of(seed);
    let comment = comment(&mut bytes);
    mark_all(source, &copy, &comment).with_context(|| text_of(source))?;
    fs::write(copy.join(MARK), object_mark(&mut bytes))?;
    let pack = ["-cf", text(&archive)?, "-C", text(&copy)?, "."];
    run_command(&mut command("tar", pack))?;
    let tree = folder.join("compile");
    empty_folder(&tree)?;
    run_command(&mut command("sync", []))?;

    let start = Instant::now();
    let unpack = ["-xf", text(&archive)?, "-C", text(&tree)?];
    run_command(&mut command("tar", unpack))?;
    let place = tree.join("src");
    let mut make = command("make", ["-s", "-C", text(&place)?]);
    make.args(SETTINGS);
    make.arg(format!("CC=gcc -include {}", text(&tree.join(MARK))?));
    run_command(make.arg("redis-server"))?;
    Ok((SECONDS_PER_HOUR / start.elapsed().as_secs_f64()).into())
}

fn text_of(source: &Path) -> String {
    format!(
        "the source in {}: run scripts/setup.sh bench",
        source.display()
    )
}

/// Copies a tree, with a comment in front of each C file: all that follows it lies elsewhere in its
/// blocks, and none of them has the bytes that it had in another run.
fn mark_all(from: &Path, to: &Path, comment: &str) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copy = to.join(path.file_name().context("an entry has a name")?);
        if path.is_dir() {
            fs::create_dir(&copy)?;
            mark_all(&path, &copy, comment)?;
        } else if path
            .extension()
            .is_some_and(|kind| kind == "c" || kind == "h")
        {
            let mut marked = comment.as_bytes().to_vec();
            marked.extend(fs::read(&path)?);
            fs::write(copy, marked)?;
        } else {
            fs::copy(path, copy)?;
        }
    }
    Ok(())
}

fn comment(bytes: &mut Bytes) -> String {
    let length = bytes.number() % MARK_BYTES_MAX;
    format!("/* {} */\n", bytes.digits(length as usize))
}

/// The same for what is compiled: the code of each object begins behind bytes that are not run.
fn object_mark(bytes: &mut Bytes) -> String {
    let length = bytes.number() % MARK_BYTES_MAX;
    let digits = bytes.digits(length as usize);
    format!("__asm__(\".text\\n.ascii \\\"{digits}\\\"\\n.balign 16\\n\");\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each C file has the comment in front, the others are as they were, in all folders.
    #[test]
    fn c_files_are_marked() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("src/main.c"), "int main;").unwrap();
        fs::write(from.join("Makefile"), "all:").unwrap();

        mark_all(&from, &to, "/* 1 */").unwrap();

        let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(read("src/main.c"), "/* 1 */int main;");
        assert_eq!(read("Makefile"), "all:");
    }
}
