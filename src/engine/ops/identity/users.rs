//! Creating, reading, changing and deleting users.

use super::session::{MAX_USERNAME, output_of};
use super::{Change, done, forbidden, object, public, units, user_not_found};
use crate::app::ConnId;
use crate::engine::scopes::{Managing, Users, Written};
use crate::engine::{Engine, Outcome};
use crate::identity::{Id, VIRTUAL_ADMIN};
use crate::json::{Json, Kind, Object, Raw};
use crate::protocol::{ErrorCode, OpError, Reply, Request};
use crate::store::schema::Format;

const MIN_USERNAME: usize = 3;
const MAX_PAGE: f64 = 200.0;
const DEFAULT_PAGE: f64 = 50.0;

const DISABLED: &str = "Account disabled";
const DELETED: &str = "Account deleted";

fn already_exists(username: &str) -> OpError {
    OpError::new(ErrorCode::AlreadyExists, format!("User \"{username}\" already exists"))
}

/// An optional field of this kind; `null` counts as absent.
pub(super) fn optional<'r>(
    request: &Request<'r>,
    name: &str,
    kind: Kind,
    expected: &str,
) -> Result<Option<Raw<'r>>, OpError> {
    match request.present(name) {
        Some(raw) if raw.kind() != kind => {
            Err(OpError::validation(format!("Invalid \"{name}\": expected {expected}")))
        }
        other => Ok(other),
    }
}

/// The optional fields of a new user that are there.
pub(super) fn insert_given<const N: usize>(
    record: &mut Object,
    fields: [(&'static str, Option<Raw<'_>>); N],
) {
    for (name, raw) in fields {
        if let Some(raw) = raw {
            record.insert(name, raw.to_json());
        }
    }
}

pub(super) fn check_username(username: &str) -> Result<(), OpError> {
    match (MIN_USERNAME..=MAX_USERNAME).contains(&units(username)) {
        true => Ok(()),
        false => Err(OpError::validation("Username must be between 3 and 64 characters")),
    }
}

pub(super) fn check_email(raw: Option<Raw<'_>>) -> Result<(), OpError> {
    match raw.and_then(Raw::as_str) {
        Some(text) if !Format::Email.matches(&text) => {
            Err(OpError::validation("Invalid \"email\": expected email address"))
        }
        _ => Ok(()),
    }
}

impl Users<'_> {
    pub(super) fn check_username_free(&self, username: &str) -> Result<(), OpError> {
        let taken = username == VIRTUAL_ADMIN
            || self.identity()?.directory.user_by_name(username).is_some();
        if taken { Err(already_exists(username)) } else { Ok(()) }
    }

    pub(in crate::engine::ops) fn get_user(&self, request: &Request<'_>) -> Result<Json, OpError> {
        self.admin()?;
        let user_id = request.require_string("userId")?;
        Ok(Json::Object(public(self.user_row(&user_id)?)))
    }

    pub(in crate::engine::ops) fn list_users(
        &self,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        self.admin()?;
        let number = |name: &str, default: f64, most: f64| {
            let given = request.field(name).and_then(Raw::as_number);
            // Fractions are rounded down; what is too much for a page is cut.
            given.unwrap_or(default).floor().clamp(1.0, most)
        };
        let page = number("page", 1.0, f64::MAX);
        let size = number("pageSize", DEFAULT_PAGE, MAX_PAGE);
        let buckets = self.directory()?.buckets().ok_or_else(OpError::internal)?;
        let users = self.store.bucket(buckets.users).ok_or_else(OpError::internal)?;
        // Beyond the range of `usize`: past the end.
        let skipped = ((page - 1.0) * size) as usize;
        let shown = users.iter().skip(skipped).take(size as usize);
        let shown = shown.map(|(_, row)| Json::Object(public(row))).collect();
        Ok(object([
            ("users", Json::Array(shown)),
            ("total", Json::Number(users.len() as f64)),
            ("page", Json::Number(page)),
            ("pageSize", Json::Number(size)),
        ]))
    }
}

impl Managing<'_> {
    pub(in crate::engine::ops) fn update_user(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Json, Written), OpError> {
        let caller = self.caller()?;
        let user_id = request.require_string("userId")?;
        if *user_id != *caller && !self.is_admin(&caller) {
            return Err(forbidden("Admin role required"));
        }
        let unchanged = Json::Object(public(self.user_row(&user_id)?));
        if *user_id != *caller {
            self.check_boundary(&caller, &user_id)?;
        }
        let display = optional(request, "displayName", Kind::String, "string")?;
        let email = optional(request, "email", Kind::String, "string")?;
        let metadata = optional(request, "metadata", Kind::Object, "object")?;
        check_email(email)?;
        let mut fields = Object::new();
        // A field that is there and `null` clears.
        for (name, value, cleared) in [
            ("displayName", display, Json::Null),
            ("email", email, Json::Null),
            ("metadata", metadata, Json::Object(Object::new())),
        ] {
            if request.field(name).is_some() {
                fields.insert(name, value.map_or(cleared, Json::from));
            }
        }
        if fields.is_empty() {
            return Ok((unchanged, Written::default()));
        }
        let (row, written) =
            self.change(|change| change.update(change.buckets.users, &user_id, fields))?;
        Ok((Json::Object(public(&row)), written))
    }
}

impl Engine {
    pub(in crate::engine::ops) fn create_user(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Outcome, OpError> {
        self.users(conn).admin()?;
        let username = request.require_string("username")?.into_owned();
        let password = request.require_string("password")?.into_owned();
        let fields = [
            ("displayName", optional(request, "displayName", Kind::String, "string")?),
            ("email", optional(request, "email", Kind::String, "string")?),
            ("enabled", optional(request, "enabled", Kind::Bool, "boolean")?),
            ("metadata", optional(request, "metadata", Kind::Object, "object")?),
        ];
        check_username(&username)?;
        self.users(conn).check_password(&password)?;
        self.users(conn).check_username_free(&username)?;
        check_email(request.present("email"))?;
        let mut record: Object =
            [("username", Json::from(username.as_str()))].into_iter().collect();
        insert_given(&mut record, fields);
        let run = self.hash_job(conn, password)?;
        let then = Box::new(move |engine: &mut Engine, conn, output, reply: &mut Reply| {
            let hash = output_of::<String>(output)?;
            // Rights may have gone and the name been taken while the job ran.
            engine.users(conn).admin()?;
            engine.users(conn).check_username_free(&username)?;
            record.insert("passwordHash", Json::from(hash));
            let row = engine.change(|change| change.insert(change.buckets.users, record))?;
            Json::Object(public(&row)).write(reply.data());
            Ok(Outcome::Done)
        });
        self.start_job(conn, request.id, &request.operation, run, then)
    }

    pub(in crate::engine::ops) fn delete_user(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let caller = self.users(conn).admin()?;
        let user_id = request.require_string("userId")?;
        if user_id == VIRTUAL_ADMIN {
            return Err(forbidden("Cannot delete virtual superadmin"));
        }
        self.users(conn).user_row(&user_id)?;
        self.users(conn).check_boundary(&caller, &user_id)?;
        self.change(|change| change.delete_user(&user_id))?;
        self.end_user(&user_id, None, DELETED);
        self.forget_client_sessions_of(&user_id);
        Ok(done("deleted"))
    }

    pub(in crate::engine::ops) fn enable_user(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        self.set_enabled(conn, request, true)
    }

    pub(in crate::engine::ops) fn disable_user(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        self.set_enabled(conn, request, false)
    }

    fn set_enabled(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        enabled: bool,
    ) -> Result<Json, OpError> {
        let caller = self.users(conn).admin()?;
        let user_id: Id = (*request.require_string("userId")?).into();
        if !enabled && *user_id == *VIRTUAL_ADMIN {
            return Err(forbidden("Cannot disable virtual superadmin"));
        }
        self.users(conn).user_row(&user_id).map_err(|_| user_not_found())?;
        if !enabled {
            self.users(conn).check_boundary(&caller, &user_id)?;
        }
        let row = self.change(|change: &mut Change<'_>| {
            if !enabled {
                change.delete_sessions(&user_id)?;
            }
            let fields: Object = [("enabled", Json::Bool(enabled))].into_iter().collect();
            change.update(change.buckets.users, &user_id, fields)
        })?;
        if !enabled {
            self.end_user(&user_id, None, DISABLED);
            self.forget_client_sessions_of(&user_id);
        }
        Ok(Json::Object(public(&row)))
    }
}
