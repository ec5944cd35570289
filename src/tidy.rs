//! Rules of the house that the compiler does not know, kept by tests over the source tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::Step;
use crate::pool::tests::crash::canaries::canary;

/// Modules and the layer that they are in; a module imports from lower layers and from itself.
const LAYERS: [(&str, u8); 12] = [
    ("base", 0),
    ("disk", 1),
    ("block", 2),
    ("journal", 2),
    ("tree", 3),
    ("volume", 4),
    ("pool", 5),
    ("fuse", 6),
    ("transfer", 6),
    ("daemon", 7),
    ("cli", 8),
    ("fuzzing", 9),
];

/// External crates and the only places that may name them.
const BORDERS: [(&str, &[&str]); 9] = [
    ("sled", &["block/index"]),
    ("fuser", &["fuse"]),
    ("clap", &["cli"]),
    ("axum", &["daemon"]),
    ("hyper", &["daemon"]),
    ("hyper_util", &["daemon"]),
    ("tokio", &["daemon"]),
    ("shuttle", &["base/sync"]),
    ("parking_lot", UNEXPLORED),
];

/// Where threads hold a lock for a look only, or are not explored; everybody else takes locks from
/// `base::sync`.
const UNEXPLORED: &[&str] = &[
    "base/buffers.rs",
    "base/sync",
    "block/cache.rs",
    "block/index/filter.rs",
    "block/index/plain.rs",
    "block/index/recent.rs",
    "block/index/upset.rs",
    "block/segment/handles.rs",
    "block/segment/tables.rs",
    "block/tests",
    "daemon",
    "disk",
    "fuse",
    "journal/tests/mem_disk.rs",
    "tree",
];

/// Layers that reach files only through `disk`, and the files that are excused: sled keeps a
/// folder of its own, and a pool's folder must be made before there is a disk.
const NO_FILES: [&str; 6] = ["base", "block", "journal", "tree", "volume", "pool"];
const NO_FILES_EXCUSED: [&str; 2] = ["block/index", "pool/create.rs"];

/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

struct Source {
    /// Relative to `src/`.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("tests") || self.path.ends_with("testing.rs")
    }

    /// Lines with their numbers, without comments and without the tests at the file's end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {");
        let end = tests.map_or(usize::MAX, |at| self.text[..at].lines().count());
        let lines = self.text.lines().enumerate().take(end);
        lines
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (number + 1, line))
    }
}

fn sources() -> Vec<Source> {
    fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable source folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                collect(&path, paths);
            } else if path.extension().is_some_and(|end| end == "rs") {
                paths.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let relative = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    paths
        .iter()
        .map(|path| Source {
            path: relative(path),
            text: fs::read_to_string(path).unwrap(),
        })
        .filter(|source| source.path != "tidy.rs")
        .collect()
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Modules of ours that a line names by `crate::`.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// A module imports from lower layers and from itself only.
#[test]
fn layers_import_downwards_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((own, _)) = source.path.split_once('/') else {
            continue;
        };
        let own_layer = layer(own).unwrap_or_else(|| panic!("{own}/ has no layer"));
        for (number, line) in source.code() {
            for module in named_modules(line) {
                let upward = layer(module).is_some_and(|other| other >= own_layer);
                if upward && module != own {
                    wrong.push(format!("{}:{number}: {own} imports {module}", source.path));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// An external crate with a border is named inside of it only.
#[test]
fn external_crates_stay_within_their_borders() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for (name, homes) in BORDERS {
                let named = line.contains(&format!("{name}::"))
                    || line.trim_start().starts_with(&format!("use {name};"));
                let whole =
                    !line.contains(&format!("_{name}::")) && !line.contains(&format!(":{name}::"));
                let at_home = homes.iter().any(|home| source.path.starts_with(home));
                if named && whole && !at_home {
                    wrong.push(format!("{}:{number}: names {name}", source.path));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The pool's files are reached through `disk` only.
#[test]
fn files_are_reached_through_disk() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let concerned = NO_FILES
            .iter()
            .any(|own| source.path.starts_with(&format!("{own}/")));
        let excused = NO_FILES_EXCUSED
            .iter()
            .any(|path| source.path.starts_with(path));
        for (number, line) in source.code() {
            let names = ["std::fs", " File::open", "fs::OpenOptions"]
                .iter()
                .any(|it| line.contains(it));
            if concerned && !excused && names {
                wrong.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Files stay small enough to be read in one go, lines short enough for two beside each other.
#[test]
fn files_and_lines_stay_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.code().last().map_or(0, |(number, _)| number);
        if lines > FILE_LINES_MAX && !source.is_test() {
            wrong.push(format!("{}: {lines} lines", source.path));
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                wrong.push(format!(
                    "{}:{}: {} columns",
                    source.path,
                    number + 1,
                    line.len()
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Every file is a module of its parent: a forgotten one would not even be compiled.
#[test]
fn every_file_is_a_module() {
    let sources = sources();
    let known: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut wrong = Vec::new();
    for source in &sources {
        let path = Path::new(&source.path);
        let (folder, stem) = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("main" | "lib") => continue,
            Some("mod") => (path.parent().and_then(Path::parent), path.parent()),
            _ => (path.parent(), Some(path)),
        };
        let folder = folder
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = stem
            .and_then(Path::file_stem)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let parents = if folder.is_empty() {
            vec!["lib.rs".to_owned()]
        } else {
            vec![format!("{folder}/mod.rs"), format!("{folder}.rs")]
        };
        let declared = parents
            .iter()
            .filter(|parent| known.contains(parent.as_str()))
            .any(|parent| {
                let text = &sources.iter().find(|one| one.path == *parent).unwrap().text;
                text.lines().any(|line| {
                    let line = line.trim_start();
                    line.ends_with(&format!("mod {name};")) && !line.starts_with("//")
                })
            });
        if !declared {
            wrong.push(source.path.clone());
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The standard library's syncs call again when they are interrupted, and a failed sync must never
/// be asked a second time: `disk::FileDisk` has the product's.
#[test]
fn nothing_syncs_twice() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            if line.contains(".sync_data(") || line.contains("file.sync_all(") {
                wrong.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn takes(line: &str, step: Step) -> bool {
    let name = format!("Step::{step:?}");
    line.match_indices(&name).any(|(at, _)| {
        let behind = line[at + name.len()..].chars().next();
        behind.is_none_or(|char| !char.is_alphanumeric())
    })
}

/// Files of the product that take a step.
fn takers(sources: &[Source], step: Step) -> Vec<&str> {
    let product = sources
        .iter()
        .filter(|source| !source.is_test() && source.path != "disk/step.rs");
    product
        .filter(|source| source.code().any(|(_, line)| takes(line, step)))
        .map(|source| source.path.as_str())
        .collect()
}

/// Steps that several places take, and why a canary for all of them together is enough.
const TAKEN_TWICE: [(Step, &str); 2] = [
    (
        Step::JournalFileMade,
        "the other place blanks files after a cut of a damaged journal, whose every effect is cut \
         short by `check::outage::a_cut_of_the_journal_may_be_cut_short_anywhere`",
    ),
    (
        Step::FrameHealed,
        "the other place heals a frame that does not fit where it was; its copy is still there",
    ),
];

/// A canary leaves out a step wherever it is taken; so that each single sync has one, a step is
/// taken in one place.
#[test]
fn steps_are_taken_in_one_place() {
    let sources = sources();
    let product = sources
        .iter()
        .filter(|source| !source.is_test() && source.path != "disk/step.rs");
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, line) in product.flat_map(Source::code) {
        for step in Step::ALL.iter().filter(|step| takes(line, **step)) {
            *places.entry(step.name()).or_default() += 1;
        }
    }
    places.retain(|_, count| *count > 1);
    let excused: BTreeMap<&str, usize> = TAKEN_TWICE
        .iter()
        .map(|(step, _)| (step.name(), 2))
        .collect();
    assert_eq!(places, excused);
}

/// docs/testing.md lists every step with the files that take it and the test that fails without
/// it, and no step is taken nowhere.
#[test]
fn the_steps_are_listed_and_taken() {
    const FROM: &str = "<!-- steps: generated -->\n";
    const TO: &str = "<!-- end of steps -->\n";
    let sources = sources();
    let mut table =
        "| step | what it orders | taken in | noticed by |\n|---|---|---|---|\n".to_owned();
    for step in Step::ALL {
        let takers = takers(&sources, *step);
        assert!(!takers.is_empty(), "nothing takes {}", step.name());
        let files: Vec<String> = takers.iter().map(|path| format!("`{path}`")).collect();
        let (name, orders, files) = (step.name(), step.orders(), files.join(", "));
        let canary = canary(*step);
        table.push_str(&format!("| {name} | {orders} | {files} | {canary} |\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(FROM).expect("the table's beginning");
    let (_, behind) = rest.split_once(TO).expect("the table's end");
    let wanted = format!("{before}{FROM}{table}{TO}{behind}");
    if std::env::var_os("VOLFS_UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let is_right = fs::read_to_string(&path).unwrap() == wanted;
    assert!(
        is_right,
        "the table of steps is out of date: VOLFS_UPDATE_DOCS=1 cargo test --lib tidy::the_steps"
    );
}
