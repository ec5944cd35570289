//! Changes a file for ever in one way and ignores every error.
//!
//! `volfs-test-scribbler mapping|buffered|direct FILE` overwrites it; `rename|link|attribute` move
//! it to FILE.other and back, give it that name too and take it away, and set an attribute. Prints
//! `writing` after the first round.
//! A mapping whose file went away kills the program with SIGBUS, which is as good an end as any.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

use fuse_tests::promises::PAGE_BYTES;
use rustix::fs::{OFlags, XattrFlags, setxattr};
use rustix::mm::{MapFlags, ProtFlags, mmap};

#[repr(align(4096))]
struct Aligned([u8; PAGE_BYTES]);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, path] = &arguments[..] else {
        eprintln!("usage: volfs-test-scribbler WAY FILE");
        std::process::exit(2);
    };
    if let Some(change) = change_of_inode(way, path) {
        change();
        println!("writing");
        loop {
            change();
        }
    }
    let flags = if way == "direct" {
        OFlags::DIRECT
    } else {
        OFlags::empty()
    };
    let mut options = File::options();
    let options = options
        .read(true)
        .write(true)
        .custom_flags(flags.bits() as i32);
    let file = options.open(path).expect("the file exists");
    let length = file.metadata().expect("it is open").len() as usize;
    let mapped = (way == "mapping").then(|| map(&file, length));
    let mut page = Aligned([b'A'; PAGE_BYTES]);
    for round in 0_u64.. {
        page.0.fill(b'A' + (round % 26) as u8);
        for at in (0..length).step_by(PAGE_BYTES) {
            match mapped {
                // SAFETY: `at` is a page inside the mapping, which only this loop uses.
                Some(start) => unsafe {
                    start
                        .add(at)
                        .copy_from_nonoverlapping(page.0.as_ptr(), PAGE_BYTES);
                },
                None => drop(file.write_at(&page.0, at as u64)),
            }
        }
        if round == 0 {
            println!("writing");
        }
        // The daemon has other things to do too.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What changes no byte of the file, but its inode.
fn change_of_inode(way: &str, path: &str) -> Option<Box<dyn Fn()>> {
    let (path, other) = (path.to_owned(), format!("{path}.other"));
    Some(match way {
        "rename" => Box::new(move || {
            let _ = std::fs::rename(&path, &other);
            let _ = std::fs::rename(&other, &path);
        }),
        "link" => Box::new(move || {
            let _ = std::fs::hard_link(&path, &other);
            let _ = std::fs::remove_file(&other);
        }),
        "attribute" => Box::new(move || {
            let _ = setxattr(&path, "user.volfs", b"x", XattrFlags::empty());
        }),
        _ => return None,
    })
}

fn map(file: &File, length: usize) -> *mut u8 {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice, never unmapped.
    let start = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            protection,
            MapFlags::SHARED,
            file,
            0,
        )
    };
    start.expect("the file can be mapped").cast()
}
