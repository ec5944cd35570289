//! What a repair and a scrub mend, and what they leave and list.

use super::*;
use crate::base::Nature;
use crate::pool::Repair;

fn repair(fixture: &Fixture) -> CheckReport {
    Pool::repair(&fixture.path(), NO_CUT, &Silent).unwrap()
}

/// Both files and the snapshot are as they were.
#[track_caller]
fn assert_whole(fixture: &mut Fixture) {
    let pool = fixture.open();
    for volume in [
        pool.open_volume(&name("a")).unwrap(),
        pool.open_snapshot(&name("a"), &snap("s")).unwrap(),
    ] {
        assert!(read(&volume, "good").unwrap() == noise(1, LENGTH));
        assert!(read(&volume, "bad").unwrap() == noise(2, LENGTH));
    }
    drop(pool);
    fixture.check();
    close(fixture);
}

/// As [`sample`], with a second volume `b` whose file has frames of its own with the content of
/// `bad`.
fn sample_with_copies() -> Fixture {
    let fixture = sample();
    let pool = open_without_index(&fixture);
    pool.create_volume(&new_volume("b")).unwrap();
    let volume = pool.open_volume(&name("b")).unwrap();
    put(&volume, "copy", &noise(2, LENGTH));
    drop(volume);
    pool.close().unwrap();
    fixture
}

/// A repair of a healthy pool does nothing.
#[test]
fn a_healthy_pool_is_not_repaired() {
    let mut fixture = sample();
    let superblock = fs::read(fixture.path().join("superblock")).unwrap();
    let report = repair(&fixture);
    assert_eq!((report.violations, report.repaired), (vec![], vec![]));
    assert!(fs::read(fixture.path().join("superblock")).unwrap() == superblock);
    assert_whole(&mut fixture);
}

/// A block with a healthy copy elsewhere is a damaged frame, and no lost content; a repair heals it
/// where it is, byte for byte.
#[test]
fn a_copy_heals_a_block() {
    let mut fixture = sample_with_copies();
    let places = frames_of(&fixture, &bad_block(2));
    assert_eq!(places.len(), 2);
    for (hurt_one, other) in [(places[0], places[1]), (places[1], places[0])] {
        let path = segment_path(&fixture, hurt_one.segment, "data");
        let whole = fs::read(&path).unwrap();
        hurt(&fixture, hurt_one);
        let found = violations(&fixture);
        let [
            Violation::Frame {
                segment,
                offset,
                id: Some(id),
                copy: Some(copy),
                ..
            },
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!((*segment, *offset), (hurt_one.segment, hurt_one.offset));
        assert_eq!((copy.segment, copy.offset), (other.segment, other.offset));
        assert_eq!(*id, id_of(&bad_block(2)));

        let report = repair(&fixture);
        let healed = Repair::Frame {
            id: *id,
            segment: *segment,
            offset: *offset,
            moved_to: None,
        };
        assert_eq!((report.violations, report.repaired), (vec![], vec![healed]));
        assert!(
            fs::read(&path).unwrap() == whole,
            "the segment is not as it was"
        );
    }
    assert_whole(&mut fixture);
}

/// A scrub heals beside everybody who uses the pool.
#[test]
fn a_scrub_heals_while_the_pool_is_open() {
    let mut fixture = sample_with_copies();
    let places = frames_of(&fixture, &bad_block(0));
    hurt(&fixture, places[0]);
    let pool = fixture.open();
    for volumes in [vec![name("b")], vec![]] {
        let options = CheckOptions {
            volumes: volumes.clone(),
            ..CheckOptions::default()
        };
        let report = pool.scrub(&options, &Silent).unwrap();
        assert_eq!(report.violations, []);
        assert_eq!(report.repaired.len(), usize::from(volumes.is_empty()));
    }
    drop(pool);
    close(&mut fixture);
    assert_whole(&mut fixture);
}

/// A scrub looks at each frame that a state needs, also where an older state has the same content
/// in another one.
#[test]
fn a_scrub_sees_content_that_was_stored_again() {
    let mut fixture = sample();
    let pool = open_without_index(&fixture);
    let volume = pool.open_volume(&name("a")).unwrap();
    let bad = volume.lookup(&WHO, Ino::ROOT, b"bad").unwrap().ino;
    let mode = crate::volume::ops::WriteMode::default();
    let content = noise(2, LENGTH);
    volume.write_file(&WHO, bad, 0, &content, mode).unwrap();
    drop(volume);
    pool.close().unwrap();
    drop(pool);
    for place in frames_of(&fixture, &bad_block(2)) {
        hurt(&fixture, place);
        let pool = fixture.open();
        let options = CheckOptions {
            volumes: vec![name("a")],
            ..CheckOptions::default()
        };
        let report = pool.scrub(&options, &Silent).unwrap();
        assert_eq!((report.violations, report.repaired.len()), (vec![], 1));
        drop(pool);
        close(&mut fixture);
    }
    assert_eq!(frames_of(&fixture, &bad_block(2)).len(), 2);
    assert_eq!(violations(&fixture), []);
}

/// A lost block is an I/O error for exactly its bytes, in every state that shows it; it stays
/// listed, however often the pool is repaired, until nothing shows it any more.
#[test]
fn a_lost_block_stays_an_error_and_listed() {
    let mut fixture = sample();
    let at = frame_of(&fixture, &bad_block(2));
    hurt(&fixture, at);
    let found: Vec<String> = violations(&fixture).iter().map(Violation::place).collect();
    let expected = ["a@s:/bad bytes 8192 to 12288", "a:/bad bytes 8192 to 12288"];
    assert_eq!(found, expected);
    for round in 0..3 {
        let report = repair(&fixture);
        let places: Vec<String> = report.violations.iter().map(Violation::place).collect();
        assert_eq!(places, expected);
        // The table of contents names the lost frame once more.
        assert_eq!(
            report.repaired.len(),
            usize::from(round == 0),
            "{:?}",
            report.repaired
        );
    }
    let pool = fixture.open();
    let content = noise(2, LENGTH);
    for volume in [
        pool.open_volume(&name("a")).unwrap(),
        pool.open_snapshot(&name("a"), &snap("s")).unwrap(),
    ] {
        let ino = volume.lookup(&WHO, Ino::ROOT, b"bad").unwrap().ino;
        for byte in [
            0,
            2 * BLOCK - 1,
            2 * BLOCK,
            3 * BLOCK - 1,
            3 * BLOCK,
            LENGTH - 1,
        ] {
            let read = volume.read_file(&WHO, ino, byte as u64, 1);
            if (2 * BLOCK..3 * BLOCK).contains(&byte) {
                assert_eq!(read.unwrap_err().nature(), Nature::Corrupt);
            } else {
                assert_eq!(read.unwrap(), content[byte..=byte]);
            }
        }
        assert!(read(&volume, "good").unwrap() == noise(1, LENGTH));
    }
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "bad", &noise(3, LENGTH));
    drop(volume);
    pool.remove_snapshot(&name("a"), &snap("s")).unwrap();
    assert_eq!(pool.check(&Silent).unwrap().violations, []);
}

/// Writing a lost content anew, anywhere in the pool, heals it.
#[test]
fn content_that_is_written_again_heals() {
    let mut fixture = sample();
    let at = frame_of(&fixture, &bad_block(2));
    hurt(&fixture, at);
    let pool = fixture.open();
    pool.create_volume(&new_volume("b")).unwrap();
    let volume = pool.open_volume(&name("b")).unwrap();
    put(&volume, "again", &noise(2, LENGTH));
    drop(volume);
    let report = pool.scrub(&CheckOptions::default(), &Silent).unwrap();
    assert_eq!((report.violations, report.repaired.len()), (vec![], 1));
    drop(pool);
    close(&mut fixture);
    assert_whole(&mut fixture);
}

/// What derives from something else is written anew: a superblock slot, segment headers, tables
/// of contents, the content index. Afterwards nothing is wrong.
#[test]
fn what_is_derived_is_rebuilt() {
    let mut fixture = sample();
    let superblock = fixture.path().join("superblock");
    for slot in [0, 1] {
        flip(&superblock, (slot << 20) + 100);
        let report = repair(&fixture);
        let slot = Repair::SuperblockSlot { slot: slot as u8 };
        assert_eq!((report.violations, report.repaired), (vec![], vec![slot]));
    }
    for kind in ["data", "node"] {
        let path = files(&fixture.path().join("segments"), kind)[0].clone();
        let whole = fs::read(&path).unwrap();
        let segment = number_of(&path);
        let length = whole.len() as u64;
        let header = Repair::SegmentHeader { segment };
        let table = Repair::TableOfContents { segment };
        for (at, repaired) in [
            (20, header),
            (length - 100, table.clone()),
            (length - 64, table),
        ] {
            flip(&path, at);
            let report = repair(&fixture);
            assert_eq!(
                (report.violations, report.repaired),
                (vec![], vec![repaired])
            );
            assert!(fs::read(&path).unwrap() == whole, "{kind}, byte {at}");
        }
    }
    assert_whole(&mut fixture);
}

/// A damaged frame that nobody needs goes from the table of contents; its bytes stay.
#[test]
fn a_frame_that_nobody_needs_is_forgotten() {
    let mut fixture = sample();
    let pool = fixture.open();
    pool.create_volume(&new_volume("b")).unwrap();
    let volume = pool.open_volume(&name("b")).unwrap();
    put(&volume, "f", &noise(9, 3 * BLOCK));
    drop(volume);
    pool.checkpoint().unwrap();
    pool.remove_volume(&name("b")).unwrap();
    drop(pool);
    close(&mut fixture);
    let at = frame_of(&fixture, &noise(9, BLOCK));
    hurt(&fixture, at);
    let segment = at.segment;
    let report = repair(&fixture);
    assert_eq!(report.violations, []);
    assert_eq!(report.repaired, [Repair::TableOfContents { segment }]);
    assert_eq!(frame_of(&fixture, &noise(9, BLOCK)), at);
    let again = repair(&fixture);
    assert_eq!((again.violations, again.repaired), (vec![], vec![]));
    assert_whole(&mut fixture);
}

/// A wrong content index is built anew, and finds what it should.
#[test]
fn a_wrong_index_is_rebuilt() {
    let mut fixture = sample();
    let patience = std::time::Duration::from_secs(60);
    let pool = fixture.open();
    pool.create_volume(&new_volume("b")).unwrap();
    pool.checkpoint().unwrap();
    drop(pool);
    close(&mut fixture);
    let pool = fixture.open();
    let volume = pool.open_volume(&name("b")).unwrap();
    put(&volume, "f", &noise(9, 3 * BLOCK));
    drop(volume);
    drop(pool);
    close(&mut fixture);
    let pool = fixture.open();
    assert!(pool.shared.store.wait_for_index(patience));
    pool.remove_volume(&name("b")).unwrap();
    drop(pool);
    close(&mut fixture);
    let at = frame_of(&fixture, &noise(9, BLOCK));
    let segment = segment_path(&fixture, at.segment, "data");
    let file = fs::File::options().write(true).open(&segment).unwrap();
    // Its header stays.
    file.set_len(64).unwrap();
    assert_eq!(violations(&fixture).len(), 3);
    let report = repair(&fixture);
    assert_eq!(
        (report.violations, report.repaired),
        (vec![], vec![Repair::Index {}])
    );
    assert_whole(&mut fixture);
}

/// What cannot be repaired is left as it is, and said: both superblock slots at once.
#[test]
fn what_cannot_be_repaired_is_said() {
    let fixture = sample();
    let path = fixture.path().join("superblock");
    flip(&path, 100);
    flip(&path, (1 << 20) + 100);
    let before = fs::read(&path).unwrap();
    let report = repair(&fixture);
    assert_eq!(report.violations.len(), 2);
    assert_eq!(report.repaired, []);
    assert!(fs::read(&path).unwrap() == before);
}
