//! What the file says of itself (the table `meta`), and the cookie of its tables.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::app::CommitSeq;

/// Names in the table `meta`.
pub(super) const LINEAGE: &str = "lineage";
/// The name under which the file was last opened for writing.
pub(super) const PLACE: &str = "place";
/// Whether each transaction of the log is on disk before the next one begins.
pub(super) const EACH_SYNCED: &str = "log.eachSynced";
/// The cookie of the tables' definitions (`PRAGMA schema_version`) as noexd left
/// it. Random at first, so that a file that was rebuilt does not have it.
pub(super) const SCHEMA: &str = "schema";

pub(super) fn cookie(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "schema_version", |row| row.get(0))
}

/// Gives the definitions of the tables a cookie that no other file has, and
/// notes it. Positive and well below its bound: every change of a definition
/// adds one.
pub fn set_cookie(connection: &Connection) -> rusqlite::Result<()> {
    let cookie: i64 =
        connection.query_row("SELECT 1 + abs(random() % 2000000000)", [], |row| row.get(0))?;
    connection.pragma_update(None, "schema_version", cookie)?;
    set_meta(connection, SCHEMA, cookie)
}

/// After a change of the tables of our own: whether `change` was made on tables
/// as noexd had left them is for the next start to know.
pub fn keep_cookie(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let was_ours = meta::<i64>(connection, SCHEMA)? == Some(cookie(connection)?);
    change(connection)?;
    if was_ours { set_meta(connection, SCHEMA, cookie(connection)?) } else { Ok(()) }
}

/// Of a copy that `VACUUM INTO` made, which adds one to the cookie.
pub fn note_copied_cookie(copy: &Connection) -> rusqlite::Result<()> {
    let now = cookie(copy)?;
    if meta::<i64>(copy, SCHEMA)?.is_some_and(|was| was.checked_add(1) == Some(now)) {
        set_meta(copy, SCHEMA, now)?;
    }
    Ok(())
}

pub(super) fn set_meta(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)", params![name, value])
        .map(drop)
}

/// From now on the database has a history of its own.
pub fn set_lineage(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, lower(hex(randomblob(16))))",
            params![LINEAGE],
        )
        .map(drop)
}

pub fn last_commit(connection: &Connection) -> rusqlite::Result<CommitSeq> {
    connection.query_row("SELECT coalesce(max(last), 0) FROM commits", [], |row| row.get(0))
}

/// A value of the table `meta`.
pub fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", params![name], |row| row.get(0))
        .optional()
}
