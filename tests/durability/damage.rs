//! Files that a crash does not explain, and restores that were interrupted: the
//! program's own words, and that nothing is touched before they are said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Scratch, Server, ends, noexd, with_data};

const FRAME: usize = 24 + 4096;

/// A data directory whose server was killed: records 0 to 39, a transaction
/// each, all of them still in the log.
fn killed(scratch: &Scratch, durability: &str) {
    let server = Server::start(&scratch.data(), &["--durability", durability]);
    let mut client = server.client();
    let config = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    client.call("store.defineBucket", json!({"name": "b", "config": config}));
    for id in 0..40 {
        let data = json!({"id": id, "text": "x".repeat(100)});
        client.call("store.insert", json!({"bucket": "b", "data": data}));
    }
    server.kill();
}

fn count(scratch: &Scratch) -> Value {
    let server = Server::start(&scratch.data(), &[]);
    let count = server.client().call("store.count", json!({"bucket": "b"}));
    server.kill();
    count
}

fn tool(scratch: &Scratch, arguments: &[&str]) -> (bool, String) {
    let (verb, rest) = arguments.split_first().unwrap();
    let output = noexd()
        .arg(verb)
        .arg("--data-dir")
        .arg(scratch.data())
        .args(rest)
        .output()
        .expect("the program runs");
    (output.status.success(), String::from_utf8(output.stderr).expect("text"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn damage_in_the_log_ends_the_start_and_a_restore_helps() {
    let scratch = Scratch::new("damaged-log");
    killed(&scratch, "always");
    let (good, errors) = tool(&scratch, &["backup", "--name", "b"]);
    assert!(good, "{errors}");
    let log = scratch.data().join("noexd.sqlite-wal");
    let record = scratch.data().join("noexd.sqlite-synced");
    let whole = fs::read(&log).unwrap();
    let frames = (whole.len() - 32) / FRAME;
    assert!(frames > 60, "{frames} frames");
    let mut damaged = whole.clone();
    let frame = frames / 2;
    damaged[32 + frame * FRAME + 1000] ^= 1;
    let place = format!("is damaged in frame {} (byte {})", frame + 1, 32 + frame * FRAME);
    let kept_record = fs::read(&record).unwrap();
    for with_record in [true, false] {
        if !with_record {
            fs::remove_file(&record).unwrap();
        }
        fs::write(&log, &damaged).unwrap();
        let (code, errors) = ends(&mut with_data(noexd(), &scratch.data()));
        assert_eq!(code, Some(65));
        let first = format!("Error: dataDir: {} ", scratch.file().display());
        assert!(errors.contains(&first) && errors.contains(&place), "{errors}");
        assert!(errors.contains("Restore a backup (`noexd restore`)"), "{errors}");
        for arguments in [&["export"][..], &["backup", "--name", "c"]] {
            let (good, errors) = tool(&scratch, arguments);
            assert!(!good && errors.contains(&place), "{arguments:?}: {errors}");
        }
        assert!(fs::read(&log).unwrap() == damaged, "the log was touched");
    }
    // Damage to the last transaction: only the record can tell.
    fs::write(&record, &kept_record).unwrap();
    let mut last = whole.clone();
    *last.last_mut().unwrap() ^= 1;
    for (bytes, part) in [(&last[..], "is damaged in frame"), (&whole[..whole.len() / 2], "log")] {
        fs::write(&log, bytes).unwrap();
        let (code, errors) = ends(&mut with_data(noexd(), &scratch.data()));
        assert!(code == Some(65) && errors.contains("ends with commit"), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
    let (good, errors) = tool(&scratch, &["restore", "b"]);
    assert!(good, "{errors}");
    assert_eq!(count(&scratch), 40);
}

#[test]
fn an_interval_tells_damage_before_the_last_sync_from_a_torn_tail() {
    let scratch = Scratch::new("damaged-interval");
    // Long enough that only the start has synced when the server is killed.
    let arguments = ["--durability", "interval", "--config"];
    let config = scratch.0.join("config.json");
    fs::write(&config, json!({"durabilityIntervalMs": 60_000}).to_string()).unwrap();
    let config = config.to_str().unwrap();
    let server =
        Server::start(&scratch.data(), &[arguments[0], arguments[1], arguments[2], config]);
    let mut client = server.client();
    let bucket = json!({"key": "id", "schema": {"id": {"type": "number"}}});
    client.call("store.defineBucket", json!({"name": "b", "config": bucket}));
    for id in 0..40 {
        client.call("store.insert", json!({"bucket": "b", "data": {"id": id}}));
    }
    server.kill();
    // What a loss of power may leave of what was not synced.
    let log = scratch.data().join("noexd.sqlite-wal");
    let mut bytes = fs::read(&log).unwrap();
    let frames = (bytes.len() - 32) / FRAME;
    bytes[32 + frames / 2 * FRAME + 1000] ^= 1;
    fs::write(&log, bytes).unwrap();
    let left = count(&scratch).as_u64().unwrap();
    assert!((1..40).contains(&left), "{left}");
}

/// What a crash leaves in front of and behind the step that decides.
#[test]
fn an_interrupted_restore_is_completed_or_undone_by_the_next_start() {
    let scratch = Scratch::new("interrupted");
    killed(&scratch, "always");
    let (good, errors) = tool(&scratch, &["backup", "--name", "forty"]);
    assert!(good, "{errors}");
    let server = Server::start(&scratch.data(), &[]);
    server.client().call("store.insert", json!({"bucket": "b", "data": {"id": 99}}));
    server.kill();
    let original = scratch.0.join("original");
    copy(&scratch.data(), &original);
    let backup = scratch.data().join("backups/forty.sqlite");
    assert!(original.join("noexd.sqlite-wal").metadata().unwrap().len() > 0);
    let put = |name: &str| fs::copy(&backup, scratch.data().join(name)).unwrap();

    put("noexd.sqlite.restoring");
    fs::hard_link(scratch.file(), scratch.data().join("noexd.sqlite.before-restore-1")).unwrap();
    let start = |scratch: &Scratch| {
        let errors = scratch.0.join("errors");
        let file = fs::File::create(&errors).unwrap();
        let server = Server::run(with_data(noexd(), &scratch.data()).stderr(Stdio::from(file)));
        let count = server.client().call("store.count", json!({"bucket": "b"}));
        server.kill();
        (count, fs::read_to_string(errors).unwrap())
    };
    let (count, errors) = start(&scratch);
    assert_eq!(count, 41);
    assert!(errors.contains("interrupted before it took effect"), "{errors}");
    assert!(!scratch.data().join("noexd.sqlite.restoring").exists());
    assert!(!scratch.data().join("noexd.sqlite.before-restore-1").exists());

    for with_log in [true, false] {
        copy(&original, &scratch.data());
        put("noexd.sqlite.restored");
        if !with_log {
            fs::remove_file(scratch.data().join("noexd.sqlite-wal")).unwrap();
            fs::remove_file(scratch.data().join("noexd.sqlite-synced")).unwrap();
        }
        let (good, errors) = tool(&scratch, &["export"]);
        assert!(!good && errors.contains("was interrupted: repeat it, or start noexd"), "{errors}");
        let (count, errors) = start(&scratch);
        assert_eq!(count, 40, "the log of the old file is none of the new one");
        assert!(errors.contains("interrupted; it is complete now"), "{errors}");
        let (count, errors) = start(&scratch);
        assert_eq!((count, &*errors), (json!(40), ""));
    }
}

/// The program as somebody whom permissions bind, which they do not bind root.
fn ordinary(command: &mut Command) -> &mut Command {
    let root = fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt as _;
        me.uid() == 0
    });
    if root { command.uid(65_534).gid(65_534) } else { command }
}

#[test]
fn what_may_not_be_written_is_said_and_left_alone() {
    let scratch = Scratch::new("read-only");
    killed(&scratch, "always");
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&scratch.0, 0o755);
    mode(&scratch.data(), 0o777);
    // Beside the file; the other one is for versions that knew no other.
    let lock = scratch.data().join("noexd.sqlite.lock");
    let locks = [lock.clone(), scratch.data().join("noexd.lock")];
    locks.iter().for_each(|lock| mode(lock, 0o666));
    // Where the program lies, an ordinary user may not look.
    let program = scratch.0.join("noexd");
    fs::copy(env!("CARGO_BIN_EXE_noexd"), &program).unwrap();
    mode(&program, 0o755);
    let run = || {
        let mut command = Command::new(&program);
        command.env("RUST_LOG", "warn").stdin(Stdio::null());
        ends(ordinary(&mut with_data(command, &scratch.data())))
    };
    let names = ["noexd.sqlite", "noexd.sqlite-wal", "noexd.sqlite-synced"];
    let files = names.map(|name| scratch.data().join(name));
    let _ = fs::remove_file(scratch.data().join("noexd.sqlite-shm"));
    let before: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    files.iter().for_each(|path| mode(path, 0o444));
    let (code, errors) = run();
    assert_eq!(code, Some(74), "{errors}");
    let name = format!("Error: dataDir: cannot open {}", scratch.file().display());
    assert!(errors.contains(&name) && errors.contains("may not write"), "{errors}");
    mode(&scratch.data(), 0o555);
    locks.iter().for_each(|lock| mode(lock, 0o444));
    let (code, errors) = run();
    assert_eq!(code, Some(74), "{errors}");
    let name = format!("Error: dataDir: cannot open {}: ", lock.display());
    assert!(errors.contains(&name) && errors.contains("ermission denied"), "{errors}");
    for (path, bytes) in files.iter().zip(&before) {
        assert!(fs::read(path).unwrap() == *bytes, "{} was touched", path.display());
    }
    mode(&scratch.data(), 0o755);
    locks.iter().for_each(|lock| mode(lock, 0o644));
    files.iter().for_each(|path| mode(path, 0o644));
    assert_eq!(count(&scratch), 40);
}
