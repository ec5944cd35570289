//! Operations from several threads at once.

use super::*;

/// Threads that make, move, write and remove the same names, between checkpoints, leave a volume
/// that is consistent; each operation fails only for what another thread may have done.
#[test]
fn threads_leave_a_consistent_volume() {
    let fs = Fixture::new();
    let folders = [fs.folder(Ino::ROOT, "a"), fs.folder(Ino::ROOT, "b")];
    let mode = [
        RenameMode::Replace,
        RenameMode::Exchange,
        RenameMode::NoReplace,
    ];
    let allowed = [
        "NotFound",
        "Exists",
        "IsDirectory",
        "NotDirectory",
        "NotEmpty",
        "Invalid",
    ];
    let expect = |result: FsResult<()>| {
        if let Err(error) = result {
            assert!(allowed.contains(&&*variant(&error)), "{error}");
        }
    };

    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let fs = &fs;
            scope.spawn(move || {
                for round in 0..200usize {
                    let pick = (round * 7 + thread * 3) % 11;
                    let (from, to) = (folders[pick % 2], folders[round % 2]);
                    let (name, other) = (format!("n{pick}"), format!("n{}", round % 5));
                    let made = match round % 3 {
                        0 => fs.make(&ROOT, FileKind::Directory, from, &name),
                        _ => fs.make(&ROOT, FileKind::Regular, from, &name),
                    };
                    if let Ok(made) = &made
                        && made.kind == FileKind::Regular
                    {
                        let data = vec![thread as u8 + 1; 1000 * pick * pick];
                        let mode = WriteMode::default();
                        expect(fs.write_file(&ROOT, made.ino, 0, &data, mode));
                    }
                    expect(made.map(|_| ()));
                    expect(fs.mv((from, &name), (to, &other), mode[round % 3]));
                    expect(fs.unlink(&ROOT, to, format!("n{}", round % 7).as_bytes()));
                    expect(fs.rmdir(&ROOT, from, other.as_bytes()));
                }
            });
        }
        for _ in 0..10 {
            fs.checkpoint();
        }
    });

    fs.assert_sound();
    fs.reap_orphans().unwrap();
}
