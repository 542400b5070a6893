//! `noexd restore`, stopped in front of each of its steps.

use std::fs;

use super::files::{Scratch, open};
use super::restore::install;
use super::*;

fn fill(file: &std::path::Path, seed: u64, batches: usize) -> (Sqlite, State) {
    let mut storage = open(file).unwrap();
    let mut load = Load::new(seed);
    let mut state = State::default();
    for _ in 0..batches {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        state.apply(&batch);
    }
    (storage, state)
}

/// What a crash leaves: files as they are while the database is open.
fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// `damage`: what is there cannot be opened, which is when restores are needed.
fn stopped_everywhere(name: &str, damage: bool) {
    let elsewhere = Scratch::new(&format!("{name}-backup"));
    let backup = elsewhere.0.join("b.sqlite");
    let (source, new) = fill(&elsewhere.file(), 41, 20);
    copy_file(&elsewhere.file(), &backup, "b", 1).unwrap();
    drop(source);
    let original = Scratch::new(&format!("{name}-original"));
    let (running, old) = fill(&original.file(), 42, 30);
    let killed = Scratch::new(&format!("{name}-killed"));
    copy_files(&original.0, &killed.0);
    drop(running);
    if damage {
        let log = killed.0.join("noexd.sqlite-wal");
        let mut bytes = fs::read(&log).unwrap();
        bytes[32 + 24 + 4096 + 100] ^= 1;
        fs::write(log, bytes).unwrap();
    }
    let stop = |_: ()| StorageError::new(StorageErrorKind::Io, "stopped");
    let (mut before, mut after) = (0, 0);
    for steps in 0.. {
        let scratch = Scratch::new(name);
        copy_files(&killed.0, &scratch.0);
        let mut left = steps;
        let installed = install(&backup, &scratch.file(), 7, &mut || {
            left = i32::checked_sub(left, 1).filter(|left| *left >= 0).ok_or(()).map_err(stop)?;
            Ok(())
        });
        let decided = scratch.0.join("noexd.sqlite.restored").exists();
        if decided {
            let error = Sqlite::open_to_read(&scratch.file()).unwrap_err();
            assert!(error.message.contains("was interrupted"), "{error}");
        }
        let found = open(&scratch.file()).and_then(|mut storage| State::of(&mut storage));
        match found {
            Ok(found) if found == new => after += 1,
            Ok(found) => {
                assert!(found == old && !damage, "step {steps}: neither the one nor the other");
                assert!(!decided && after == 0, "step {steps}");
                before += 1;
            }
            // As it was, and it still says so.
            Err(error) => {
                assert!(damage && !decided && after == 0, "step {steps}: {error}");
                assert!(error.message.contains("is damaged in frame 2"), "step {steps}: {error}");
                before += 1;
            }
        }
        let names: Vec<String> = fs::read_dir(&scratch.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".restor") || name.contains(".before-"))
            .collect();
        // What was before is there as long as it is needed, and no longer.
        let kept = "noexd.sqlite.before-restore-7";
        if after == 0 {
            assert_eq!(names, [""; 0], "step {steps}");
        } else if damage {
            assert_eq!(names.len(), 2, "step {steps}: {names:?}");
            for suffix in ["", "-wal"] {
                let kept = fs::read(scratch.0.join(format!("{kept}{suffix}"))).unwrap();
                let lost = fs::read(killed.0.join(format!("noexd.sqlite{suffix}"))).unwrap();
                assert!(kept == lost, "step {steps}: {suffix}");
            }
        } else {
            assert_eq!(names, [kept], "step {steps}");
            let mut kept = open(&scratch.0.join(kept)).unwrap();
            assert!(State::of(&mut kept).unwrap() == old, "step {steps}");
        }
        if let Ok(installed) = installed {
            assert_eq!(installed.info.name, "b");
            break;
        }
    }
    assert!(before >= 5 && after >= 5, "{before} before, {after} after");
}

#[test]
fn a_restore_takes_place_or_it_does_not() {
    stopped_everywhere("restore-steps", false);
}

#[test]
fn a_restore_over_damaged_data_takes_place_or_it_does_not() {
    stopped_everywhere("restore-damaged", true);
}

/// An error is no crash: the data is as it was at once.
#[test]
fn a_restore_that_fails_leaves_nothing_behind() {
    let scratch = Scratch::new("restore-fails");
    let (storage, old) = fill(&scratch.file(), 43, 5);
    Box::new(storage).close().unwrap();
    let source = scratch.0.join("source.sqlite");
    fs::write(&source, "no backup").unwrap();
    install_file(&source, &scratch.file(), 1).unwrap_err();
    // The name for the old data is taken by something that cannot be replaced.
    copy_file(&scratch.file(), &scratch.0.join("good.sqlite"), "b", 1).unwrap();
    fs::create_dir(scratch.0.join("noexd.sqlite.before-restore-1")).unwrap();
    install_file(&scratch.0.join("good.sqlite"), &scratch.file(), 1).unwrap_err();
    assert!(!scratch.0.join("noexd.sqlite.restoring").exists());
    assert!(State::of(&mut open(&scratch.file()).unwrap()).unwrap() == old);
}
