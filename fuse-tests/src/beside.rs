//! One test on two filesystems: on a volume and on an ext4 beside it. Both must answer alike.
//!
//! Where they do not, the test says so exactly, and names the row of the table in
//! docs/semantics.md that gives the reason: a difference without a row fails, and one that is
//! gone fails too.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::host_disk::{HostDisk, HostFs};
use crate::place::Place;

/// Where the differences are told, in this repository.
const DOCUMENT: &str = "docs/semantics.md";
/// The folder of both filesystems in which the calls are tried.
const FOLDER: &str = "t";

/// A volume mounted with suid and dev, as ext4 is, and an ext4.
#[derive(Debug)]
pub struct Beside {
    // Dropped first: the fixture below wants to see no mount left.
    disk: HostDisk,
    place: Place,
    options: &'static str,
}

/// A call that ends differently, and where the reason stands.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// First cell of the table's row.
    pub row: &'static str,
    /// What the test calls it.
    pub call: &'static str,
    /// How it ends on ext4.
    pub ext4: &'static str,
    /// How it ends on a volume.
    pub volfs: &'static str,
}

/// What a test saw of one filesystem, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    lines: Vec<(String, String)>,
}

impl Beside {
    /// Two empty filesystems.
    #[track_caller]
    pub fn new() -> Beside {
        Beside::with_options("suid,dev")
    }

    /// The same with these options of `volfs mount -o`.
    #[track_caller]
    pub fn with_options(options: &'static str) -> Beside {
        let place = Place::with_options(&["-o", options]);
        let beside = Beside {
            disk: HostDisk::new(place.fixture().folder(), HostFs::Ext4),
            place,
            options,
        };
        for root in beside.roots() {
            fs::create_dir(root).expect("a new filesystem has room");
        }
        beside
    }

    /// The folder on the volume, the folder on ext4.
    pub fn roots(&self) -> [PathBuf; 2] {
        [
            self.place.root().join(FOLDER),
            self.disk.path().join(FOLDER),
        ]
    }

    /// The volume.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Both filesystems are unmounted and mounted again: what is seen from then on was stored.
    #[track_caller]
    pub fn remount(&self) {
        self.place.remount_with(&["-o", self.options]);
        self.disk.restart();
    }

    /// Runs the same calls in both folders, which must end alike.
    #[track_caller]
    pub fn compare(&self, body: impl Fn(&Path, &mut Seen)) {
        self.compare_except(&[], body);
    }

    /// The same but for what is known and told to differ.
    #[track_caller]
    pub fn compare_except(&self, differences: &[Difference], body: impl Fn(&Path, &mut Seen)) {
        compare_roots(&self.roots(), differences, body);
    }
}

/// Runs the same calls in a folder of a volume and in one of an ext4; they must end alike but for
/// what is told to differ.
#[track_caller]
pub fn compare_roots(
    roots: &[PathBuf; 2],
    differences: &[Difference],
    body: impl Fn(&Path, &mut Seen),
) {
    let [volfs, mut ext4] = roots.each_ref().map(|root| {
        let mut seen = Seen::default();
        body(root, &mut seen);
        seen
    });
    for difference in differences {
        assert_is_told(difference);
        ext4.replace(difference);
    }
    assert!(!volfs.lines.is_empty(), "nothing was looked at");
    let both = volfs.lines.iter().zip(&ext4.lines);
    let wrong: Vec<String> = both
        .filter(|(volfs, ext4)| volfs != ext4)
        .map(|(volfs, ext4)| format!("{}: {}, but {}: {}", volfs.0, volfs.1, ext4.0, ext4.1))
        .collect();
    assert!(
        wrong.is_empty() && volfs.lines.len() == ext4.lines.len(),
        "volfs, but ext4 (or what is told of the difference):\n{}",
        wrong.join("\n")
    );
}

impl Default for Beside {
    fn default() -> Beside {
        Beside::new()
    }
}

impl Seen {
    /// Notes whether a call succeeded or with which errno it failed; gives its value back.
    pub fn call<T, E: Into<io::Error>>(
        &mut self,
        what: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        let (outcome, value) = match result {
            Ok(value) => ("ok".to_owned(), Some(value)),
            Err(error) => (errno_name(&error.into()), None),
        };
        self.lines.push((what.into(), outcome));
        value
    }

    /// Notes a value, or with which errno the question for it failed.
    pub fn value<T: Debug, E: Into<io::Error>>(
        &mut self,
        what: impl Into<String>,
        result: Result<T, E>,
    ) {
        let outcome = result.map_or_else(
            |error| errno_name(&error.into()),
            |value| format!("{value:?}"),
        );
        self.lines.push((what.into(), outcome));
    }

    /// Notes a fact.
    pub fn fact(&mut self, what: impl Into<String>, fact: impl Debug) {
        self.lines.push((what.into(), format!("{fact:?}")));
    }

    /// Puts the volume's outcome in the place of ext4's, which must be there as it is told.
    #[track_caller]
    fn replace(&mut self, difference: &Difference) {
        let Difference {
            call, ext4, volfs, ..
        } = *difference;
        let mut replaced = 0;
        for (what, outcome) in &mut self.lines {
            if what == call {
                assert_eq!(outcome, ext4, "on ext4, of '{call}'");
                *outcome = volfs.to_owned();
                replaced += 1;
            }
        }
        assert!(replaced > 0, "no call is '{call}'");
        assert_ne!(ext4, volfs, "'{call}' does not differ");
    }
}

#[track_caller]
fn assert_is_told(difference: &Difference) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(DOCUMENT);
    let text = fs::read_to_string(path).expect("the document is in the repository");
    let cell = format!("| {} |", difference.row);
    let told = text.lines().any(|line| line.starts_with(&cell));
    assert!(told, "{DOCUMENT} has no row '{cell}'");
}

/// The name that errno(3) gives the error.
pub fn errno_name(error: &io::Error) -> String {
    const NAMES: [(i32, &str); 33] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::EPIPE, "EPIPE"),
        (libc::ERANGE, "ERANGE"),
        (libc::EDEADLK, "EDEADLK"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENODATA, "ENODATA"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::ESTALE, "ESTALE"),
    ];
    let number = error.raw_os_error();
    let known = NAMES.iter().find(|(code, _)| Some(*code) == number);
    known.map_or_else(|| error.to_string(), |(_, name)| (*name).to_owned())
}
