//! Tests of listings and of probe chains.

use std::collections::BTreeSet;

use super::super::chain::{FIRST, LAST, Slot};
use super::*;
use crate::base::Value;
use crate::volume::keys;
use crate::volume::records::Dirent;

/// A listing that is cut into pieces shows `.`, `..` and each name once, with its attributes.
#[test]
fn pieces_of_a_listing_make_a_whole() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let made: BTreeSet<String> = (0..100).map(|number| format!("f{number}")).collect();
    for name in &made {
        fs.file(folder, name);
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    loop {
        let mut left = 7;
        let before = seen.len();
        fs.readdir_plus(&ROOT, folder, cookie, &mut |entry, attr| {
            if left == 0 {
                return false;
            }
            left -= 1;
            assert_eq!((attr.ino, attr.kind), (entry.ino, entry.kind));
            seen.push((entry.name.to_vec(), entry.ino));
            cookie = entry.cookie;
            true
        })
        .unwrap();
        if seen.len() == before {
            break;
        }
    }
    assert_eq!(seen[0], (b".".to_vec(), folder));
    assert_eq!(seen[1], (b"..".to_vec(), Ino::ROOT));
    assert_eq!(seen.len(), 102);
    let names: BTreeSet<String> = seen[2..]
        .iter()
        .map(|(name, _)| String::from_utf8(name.clone()).unwrap())
        .collect();
    assert_eq!(names, made);
}

/// What stays in a folder is listed once although other names come and go meanwhile.
#[test]
fn a_listing_survives_changes() {
    let fs = Fixture::new();
    for number in 0..50 {
        fs.file(Ino::ROOT, &format!("stays{number}"));
        fs.file(Ino::ROOT, &format!("goes{number}"));
    }
    let mut stays = Vec::new();
    let mut cookie = 0;
    for round in 0.. {
        let mut next = None;
        fs.readdir(&ROOT, Ino::ROOT, cookie, &mut |entry| {
            next = Some((entry.cookie, entry.name.to_vec()));
            false
        })
        .unwrap();
        let Some((at, name)) = next else { break };
        cookie = at;
        if name.starts_with(b"stays") {
            stays.push(name);
        }
        if round < 50 {
            fs.unlink(&ROOT, Ino::ROOT, format!("goes{round}").as_bytes())
                .unwrap();
            fs.file(Ino::ROOT, &format!("comes{round}"));
        }
    }
    assert_eq!(stays.len(), 50);
    assert_eq!(stays.iter().collect::<BTreeSet<_>>().len(), 50);
}

/// A listing needs a folder.
#[test]
fn files_are_not_listed() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    assert_eq!(
        name_of(fs.readdir(&ROOT, file, 0, &mut |_| true)),
        "NotDirectory"
    );
}

/// Chains of names that meet: found past tombstones, tombstones reused and taken away, also over
/// the end of the sub-keys.
#[test]
fn names_that_meet_make_a_chain() {
    let fs = Fixture::new();
    let dirents = fs.dirents();
    let name = b"wanted";
    let start = dirents.start(name);
    assert!((FIRST..=LAST).contains(&start));
    let put = |sub, name: &[u8]| {
        let entry = Dirent {
            ino: Ino(9),
            kind: FileKind::Fifo,
            name,
        };
        fs.update(&ROOT, |edit| {
            edit.put(keys::dirent(Ino::ROOT, sub), Value::record(entry.encode()));
            Ok(())
        })
        .unwrap();
    };
    let remove = |sub| {
        fs.update(&ROOT, |edit| dirents.remove(edit, Ino::ROOT, sub))
            .unwrap()
    };
    let find = || {
        fs.read(&ROOT, |view| {
            Ok(match dirents.find(view, Ino::ROOT, name)? {
                Slot::Taken { sub, .. } => (true, sub - start),
                Slot::Free { sub } => (false, sub - start),
            })
        })
        .unwrap()
    };
    let records = || {
        let mut count = 0;
        fs.read(&ROOT, |view| {
            let (from, to) = keys::all(Ino::ROOT, keys::DIRENT);
            view.scan(&from, &to, &mut |_, _| {
                count += 1;
                Ok(std::ops::ControlFlow::Continue(()))
            })
        })
        .unwrap();
        count
    };

    put(start, b"a");
    put(start + 1, b"b");
    assert_eq!(find(), (false, 2));
    put(start + 2, name);
    assert_eq!(find(), (true, 2));
    remove(start);
    remove(start + 1);
    assert_eq!((find(), records()), ((true, 2), 3));
    remove(start + 2);
    assert_eq!((find(), records()), ((false, 0), 0));

    put(start, b"a");
    put(start + 1, b"b");
    remove(start);
    assert_eq!((find(), records()), ((false, 0), 2));
    put(start, name);
    assert_eq!((find(), records()), ((true, 0), 2));
    remove(start);
    remove(start + 1);
    assert_eq!(records(), 0);

    put(LAST, b"a");
    put(FIRST, b"b");
    remove(LAST);
    assert_eq!(records(), 2);
    remove(FIRST);
    assert_eq!(records(), 0);
}
