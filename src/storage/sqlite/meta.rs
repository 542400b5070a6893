//! What the file says of itself (the table `meta`), and the cookie of its tables.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::app::CommitSeq;
use crate::storage::checksum::checksum_of;

/// Names in the table `meta`.
pub(super) const LINEAGE: &str = "lineage";
/// The name under which the file was last opened for writing.
pub(super) const PLACE: &str = "place";
/// Whether each transaction of the log is on disk before the next one begins.
pub(super) const EACH_SYNCED: &str = "log.eachSynced";
/// The cookie of the tables' definitions (`PRAGMA schema_version`) as noexd left
/// it. Random at first, so that a file that was rebuilt does not have it.
pub(super) const SCHEMA: &str = "schema";

/// The checksum of the table `epochs` as noexd left it.
pub(super) const EPOCHS: &str = "epochs";
/// The newest commit when the file was closed; not there while it is open.
pub(super) const CLOSED: &str = "closed";

/// Whether a value is this number; `None`: there is none.
pub(super) fn meta_is(
    connection: &Connection,
    name: &str,
    number: i64,
) -> rusqlite::Result<Option<bool>> {
    // What is damaged may be of any type, and a text that is none.
    connection
        .query_row("SELECT value IS ?2 FROM meta WHERE name = ?1", params![name, number], |row| {
            row.get(0)
        })
        .optional()
}

/// The checksum of the rows of `epochs`, whatever they hold.
pub(super) fn epochs_sum(connection: &Connection) -> rusqlite::Result<i64> {
    let mut rows = connection.prepare(
        "SELECT quote(position) || ' ' || quote(id) || ' ' || quote(at) || ' ' || \
         quote(first) || ' ' || quote(last) FROM epochs ORDER BY position",
    )?;
    let text = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned())
    };
    let rows: Vec<String> = rows.query_map([], text)?.collect::<rusqlite::Result<_>>()?;
    Ok(checksum_of(&rows.iter().map(String::as_str).collect::<Vec<&str>>()))
}

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
