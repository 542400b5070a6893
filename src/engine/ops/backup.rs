//! `store.backup`, `store.backups`, `store.restore`, `store.deleteBackup`: what
//! `docs/backups.md` describes.
//!
//! The work is done beside the loop: requests of others go on, and a restore
//! changes the data in one commit when everything has been read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::app::{ConnId, JobOutput};
use crate::engine::Engine;
use crate::engine::Outcome;
use crate::engine::introspection::Author;
use crate::json::{Json, Object, Raw, parse};
use crate::protocol::{ErrorCode, OpError, Reply, Request};
use crate::storage::{
    BackupInfo, Backups, StorageError, StorageErrorKind, Stored, check_backup_name,
};
use crate::store::Content;

/// Deeper than a definition can be.
const MAX_DEPTH: u32 = 1024;

/// The backups, as the engine knows them.
pub(crate) struct BackupDesk {
    backups: Backups,
    /// A backup is being made or read.
    busy: Arc<AtomicBool>,
}

/// Marks the desk as free again, however the task ends.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What goes on when a task has ended.
type Then<T> = fn(&mut Engine, T, &mut Reply) -> Result<(), OpError>;

impl Engine {
    /// Lets clients make backups. Of no use without [`Engine::set_log`].
    pub fn set_backups(&mut self, backups: Backups) {
        self.backups = Some(BackupDesk { backups, busy: Arc::default() });
    }

    pub(super) fn store_delete_backup(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let name = request.require_string("name")?.into_owned();
        let backups = self.desk("delete backup")?.backups.clone();
        let delete = move || backups.delete(&name);
        self.run_backup_task(conn, request, delete, |_, done, reply| {
            let done = done.map_err(|error| cannot("delete backup", error))?;
            reply.data().extend_from_slice(format!("{{\"deleted\":{done}}}").as_bytes());
            Ok(())
        })
    }

    pub(super) fn store_backups(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let backups = self.desk("list backups")?.backups.clone();
        let list = move || backups.list();
        self.run_backup_task(conn, request, list, |engine, list, reply| {
            let list = list.map_err(|error| cannot("list backups", error))?;
            let list = list.iter().map(|info| engine.backup_json(info)).collect();
            Json::Array(list).write(reply.data());
            Ok(())
        })
    }

    fn desk(&self, what: &str) -> Result<&BackupDesk, OpError> {
        self.backups.as_ref().filter(|_| self.log.is_on()).ok_or_else(|| {
            let text = format!("Cannot {what}: persistence is not configured");
            OpError::new(ErrorCode::UnknownOperation, text)
        })
    }

    /// Takes the desk for one backup or restore.
    fn occupy(&self, what: &str) -> Result<(Backups, Busy), OpError> {
        let desk = self.desk(what)?;
        if desk.busy.swap(true, Ordering::AcqRel) {
            let text = format!("Cannot {what}: another backup or restore is running");
            return Err(OpError::new(ErrorCode::Conflict, text));
        }
        Ok((desk.backups.clone(), Busy(desk.busy.clone())))
    }

    pub(super) fn store_backup(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let at = self.now.wall;
        let name = match request.fields.get("name").filter(|name| !name.is_null()) {
            None => format!("backup-{at}"),
            Some(name) => {
                let name = name.as_str().filter(|name| check_backup_name(name));
                name.ok_or_else(|| OpError::validation(BAD_NAME))?.into_owned()
            }
        };
        let (backups, busy) = self.occupy("create backup")?;
        let make = move || {
            let _busy = busy;
            backups.create(&name, at)
        };
        self.run_backup_task(conn, request, make, |engine, made, reply| {
            let info = made.map_err(|error| cannot("create backup", error))?;
            engine.backup_json(&info).write(reply.data());
            Ok(())
        })
    }

    pub(super) fn store_restore(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        let name = request.require_string("name")?.into_owned();
        let wanted = match request.fields.get("buckets").filter(|list| !list.is_null()) {
            None => None,
            Some(list) => {
                let names: Option<Vec<String>> =
                    list.elements().map(|name| name.as_str().map(|name| name.into())).collect();
                let names = names.filter(|names| !names.is_empty());
                Some(names.ok_or_else(|| OpError::validation(BAD_BUCKETS))?)
            }
        };
        for bucket in wanted.iter().flatten() {
            self.refuse_system_bucket(bucket)?;
        }
        let (backups, busy) = self.occupy("restore backup")?;
        let read = move || {
            let _busy = busy;
            read_backup(&backups, &name).map(|contents| (name, wanted, contents))
        };
        self.run_backup_task(conn, request, read, |engine, read, reply| {
            let (name, wanted, mut contents) =
                read.map_err(|error| cannot("restore backup", error))?;
            contents.retain(|content| engine.store.is_restored(content));
            if let Some(wanted) = &wanted {
                let missing = wanted.iter().find(|name| contents.iter().all(|c| c.name != **name));
                if let Some(missing) = missing {
                    let text = format!("Backup \"{name}\" has no bucket \"{missing}\"");
                    return Err(OpError::not_found(text));
                }
                contents.retain(|content| wanted.contains(&content.name));
            }
            // Users, roles and sessions are not a matter of this operation.
            contents.retain(|content| !engine.is_system_bucket(&content.name));
            let set = engine.store.prepare_restore(&contents)?;
            engine.current.author = Author::Restore;
            engine.commit(set);
            let records = contents.iter().map(|content| content.rows.len()).sum::<usize>();
            let names = contents.into_iter().map(|content| Json::from(content.name)).collect();
            let answer: Object = [
                ("restored", Json::Bool(true)),
                ("name", Json::from(name)),
                ("bucketNames", Json::Array(names)),
                ("totalRecords", Json::Number(records as f64)),
            ]
            .into_iter()
            .collect();
            Json::Object(answer).write(reply.data());
            Ok(())
        })
    }

    /// Runs `task` behind everything that was committed so far, and answers the
    /// request when it is done.
    fn run_backup_task<T: Send + 'static>(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        task: impl FnOnce() -> T + Send + 'static,
        then: Then<T>,
    ) -> Result<Outcome, OpError> {
        self.hand_over_batch();
        let id = self.ids.next_job();
        let Some(sink) = self.log.sink() else { return Err(OpError::internal()) };
        sink.run_task(id, Box::new(move || Box::new(task()) as JobOutput));
        let finish = move |engine: &mut Engine,
                           _: ConnId,
                           output: Result<JobOutput, String>,
                           reply: &mut Reply| {
            let output = output.ok().and_then(|any| any.downcast::<T>().ok());
            then(engine, *output.ok_or_else(OpError::internal)?, reply)?;
            Ok(Outcome::Done)
        };
        self.wait_for(conn, id, request.id, &request.operation, Box::new(finish));
        Ok(Outcome::Pending)
    }

    fn backup_json(&self, info: &BackupInfo) -> Json {
        let shown = info.bucket_names.iter().filter(|name| !self.is_system_bucket(name));
        let names = shown.map(|name| Json::from(name.as_str())).collect();
        let object: Object = [
            ("name", Json::from(info.name.as_str())),
            ("createdAt", Json::Number(info.created_at as f64)),
            ("bucketNames", Json::Array(names)),
            ("totalRecords", Json::Number(info.records as f64)),
            ("bytes", Json::Number(info.bytes as f64)),
        ]
        .into_iter()
        .collect();
        Json::Object(object)
    }
}

const BAD_NAME: &str = "Invalid \"name\": expected 1 to 64 characters of A-Z, a-z, 0-9, \".\", \
                        \"_\" and \"-\", not beginning with \".\"";
const BAD_BUCKETS: &str = "Invalid \"buckets\": expected non-empty array of strings";

/// An error of the storage as an answer.
fn cannot(what: &str, error: StorageError) -> OpError {
    let StorageError { kind, message } = error;
    match kind {
        StorageErrorKind::NotFound => OpError::not_found(message),
        StorageErrorKind::Refused if message.ends_with("already exists") => {
            OpError::new(ErrorCode::AlreadyExists, message)
        }
        StorageErrorKind::Refused => {
            OpError::new(ErrorCode::Conflict, format!("Cannot {what}: {message}"))
        }
        _ => OpError::new(ErrorCode::InternalError, format!("Cannot {what}: {message}")),
    }
}

/// All buckets of a backup with their records.
fn read_backup(backups: &Backups, name: &str) -> Result<Vec<Content>, StorageError> {
    let mut contents: Vec<Content> = Vec::new();
    let mut reader = backups.open(name)?;
    reader.load(&mut |stored| {
        match stored {
            Stored::Bucket(entry) => {
                let definition = parse(&entry.definition, MAX_DEPTH).map(Raw::to_json);
                let Ok(Json::Object(definition)) = definition else {
                    return Err(format!("the definition of \"{}\" is no object", entry.name));
                };
                contents.push(Content {
                    name: entry.name,
                    definition: Arc::new(definition),
                    counter: entry.counter,
                    rows: Vec::new(),
                });
            }
            Stored::Record { row, .. } => {
                let content = contents.last_mut().ok_or("a record without a bucket")?;
                content.rows.push(row.into());
            }
            Stored::Document(_) => {}
        }
        Ok(())
    })?;
    Ok(contents)
}
