//! `noexd backup` and `noexd restore`: whole files.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Done, Failed, Tool};
use crate::config::Persistence;
use crate::server::{claim, exit};
use crate::storage::{Backups, Location, check_backup_name, copy_file, install_file};

pub(super) fn location(persistence: &Persistence) -> Result<Location, Failed> {
    Location::find(persistence.data_dir.as_deref(), persistence.db.as_deref())?
        .ok_or_else(|| wrong("where is the data? Give --data-dir DIR or --db FILE"))
}

/// Of a command line that asks for what is not there.
fn wrong(reason: impl Into<String>) -> Failed {
    Failed { reason: reason.into(), code: exit::CONFIG }
}

pub(super) fn now() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}

/// Copies the data as it is now, beside a running server or not.
pub(super) fn backup(tool: &Tool) -> Result<Done, Failed> {
    let location = location(&tool.persistence)?;
    let (path, info) = match &tool.output {
        Some(output) => {
            let name = output.file_stem().unwrap_or_default().to_string_lossy();
            (output.clone(), copy_file(&location.file, output, &name, now()))
        }
        None => {
            let backups = Backups::new(&location);
            let name = tool.name.clone().unwrap_or_else(|| format!("backup-{}", now()));
            if !check_backup_name(&name) {
                return Err(wrong(
                    "--name: expected 1 to 64 characters of A-Z, a-z, 0-9, \".\", \"_\" and \
                     \"-\", not beginning with \".\"",
                ));
            }
            (backups.path(&name), backups.create(&name, now()))
        }
    };
    let info = info?;
    Ok(Done::Text(format!(
        "{}: {} buckets, {} records, {} bytes\n",
        path.display(),
        info.bucket_names.len(),
        info.records,
        info.bytes
    )))
}

/// Puts a backup in the place of the data; the server must not run.
pub(super) fn restore(tool: &Tool) -> Result<Done, Failed> {
    let mut location = location(&tool.persistence)?;
    let subject = tool.subject.as_deref().unwrap_or_default();
    let named = Backups::new(&location).path(subject);
    let source = if check_backup_name(subject) && named.exists() {
        named
    } else if Path::new(subject).exists() {
        Path::new(subject).to_owned()
    } else {
        return Err(wrong(format!("Backup \"{subject}\" not found")));
    };
    // Held until the file is in place.
    let _lock = claim(&tool.persistence, &mut location)?;
    let installed = install_file(&source, &location.file, now())?;
    let kept = installed.kept.map_or_else(String::new, |kept| {
        format!("The data that was there before is now {}\n", kept.display())
    });
    Ok(Done::Text(format!(
        "{} restored from {}: {} buckets\n{kept}",
        location.file.display(),
        source.display(),
        installed.info.bucket_names.len(),
    )))
}
