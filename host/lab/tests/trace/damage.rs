//! Files that are cut off, changed, of another version, or on a disk that is full.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gc_lab::trace::{Cut, Facts, Pace, Recording, Replay, TraceError, TraceFile, TraceInfo, cut, head};

use crate::random::Program;
use crate::{Nobody, common, ended, recorded};

/// A trace of two mutators and a few kilobytes.
fn small(folder: &Path) -> Vec<u8> {
    let path = folder.join("small.trace");
    let (heap, recording) = recorded(16, &path);
    for seed in [1, 2] {
        Program::new(seed).run(&mut heap.mutator(), 8);
    }
    ended(&heap, recording);
    std::fs::read(path).unwrap()
}

/// What a file is taken for: nothing, or a trace with so many operations that is complete or not.
fn taken_for(path: &Path, replays: bool) -> Option<(u64, bool)> {
    let file = TraceFile::open(path).ok()?;
    let complete = file.is_complete();
    let info = TraceInfo::of(&file).unwrap();
    assert_eq!(info.complete, complete);
    if replays {
        let heap = common::heap(4);
        let report = Replay::of(file).unwrap().run(&heap, &Pace::Free, &Nobody).unwrap();
        assert_eq!(report.operations, info.operations);
    }
    Some((info.operations, complete))
}

/// A file with these bytes, to be changed in its place: one that is written anew thousands of times is waited for until it is on the disk.
fn changeable(folder: &Path, bytes: &[u8]) -> (PathBuf, File) {
    let path = folder.join("changed.trace");
    let file = File::create(&path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    (path, file)
}

#[test]
fn a_changed_byte_is_never_overlooked() {
    let folder = tempfile::tempdir().unwrap();
    let good = small(folder.path());
    let (path, file) = changeable(folder.path(), &good);
    let (operations, complete) = taken_for(&path, true).unwrap();
    assert!(complete && operations > 100, "{operations}");
    for (at, &byte) in good.iter().enumerate() {
        for flip in [1, 0x80, 0xff] {
            file.write_all_at(&[byte ^ flip], at as u64).unwrap();
            let taken = taken_for(&path, at % 50 == 0 && flip == 1);
            let lost = taken.is_none_or(|(found, complete)| !complete && found <= operations);
            assert!(lost, "byte {at} ^ {flip}: {taken:?}");
        }
        file.write_all_at(&[byte], at as u64).unwrap();
    }
    assert_eq!(taken_for(&path, true), Some((operations, true)));
}

#[test]
fn a_file_that_is_cut_off_is_good_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let good = small(folder.path());
    let (path, file) = changeable(folder.path(), &[]);
    let mut last = 0;
    for (len, &byte) in good.iter().enumerate() {
        match taken_for(&path, len % 50 == 0) {
            None => assert_eq!(last, 0, "{len}"),
            Some((operations, complete)) => {
                assert!(!complete && operations >= last, "{len}: {operations} after {last}");
                last = operations;
            }
        }
        file.write_all_at(&[byte], len as u64).unwrap();
    }
    assert!(last > 100);
    assert_eq!(taken_for(&path, false), Some((last, true)));
    file.write_all_at(b"x", good.len() as u64).unwrap();
    assert_eq!(taken_for(&path, false), Some((last, false)));
}

#[test]
fn damage_says_where_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = small(folder.path());
    let first = bytes.windows(4).position(|four| four == b"BLCK").unwrap();
    bytes[first + 60] ^= 1;
    let path = folder.path().join("damaged.trace");
    std::fs::write(&path, &bytes).unwrap();
    let replay = Replay::open(&path).unwrap();
    let damage = replay.damage().unwrap();
    assert_eq!((damage.offset, damage.block), (first as u64, 0));
    assert_eq!(damage.to_string(), format!("block 0 at byte {first}: its checksum does not match"));
}

#[test]
fn another_version_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = small(folder.path());
    bytes[8] = 7;
    let path = folder.path().join("future.trace");
    std::fs::write(&path, &bytes).unwrap();
    let error = TraceFile::open(&path).unwrap_err();
    assert!(matches!(error, TraceError::Version { found: 7, wanted: 2, .. }), "{error}");
    assert!(error.to_string().contains("version 7") && error.to_string().contains("version 2"), "{error}");
    std::fs::write(&path, b"PK\x03\x04 something else").unwrap();
    assert!(matches!(TraceFile::open(&path), Err(TraceError::NoTrace { .. })));
}

#[test]
fn a_disk_that_cannot_be_written_is_an_error_at_once() {
    let error = Recording::start(Path::new("/dev/full"), &Facts::default()).err().unwrap().to_string();
    assert!(error.contains("cannot write /dev/full"), "{error}");
    let error = Recording::start(Path::new("/nowhere/x"), &Facts::default()).err().unwrap().to_string();
    assert!(error.contains("/nowhere/x"), "{error}");
}

#[test]
fn the_beginning_of_a_trace_is_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let file = TraceFile::open(&folder.path().join("small.trace")).unwrap();
    let mut all = Vec::new();
    head(&file, &mut |line| {
        all.push((line.thread, line.event));
        true
    })
    .unwrap();
    for operations in [0, 1, 17, 100, 1_000_000] {
        let to = folder.path().join("cut.trace");
        let kept = cut(&file, Cut { operations: Some(operations), until_us: None }, &to).unwrap();
        assert_eq!(kept, operations.min(file.operations()));
        let short = TraceFile::open(&to).unwrap();
        assert!(short.is_complete() && short.facts().find("cut_from").is_some());
        assert_eq!(TraceInfo::of(&short).unwrap().operations, kept);
        let mut same = 0;
        head(&short, &mut |line| {
            assert_eq!((line.thread, line.event), all[same]);
            same += 1;
            true
        })
        .unwrap();
        let heap = common::heap(4);
        let report = Replay::of(short).unwrap().run(&heap, &Pace::Free, &Nobody).unwrap();
        assert_eq!((report.operations, report.left_over), (kept, 0));
    }
    let to = folder.path().join("none.trace");
    assert_eq!(cut(&file, Cut { operations: None, until_us: Some(0) }, &to).unwrap(), 0);
}
