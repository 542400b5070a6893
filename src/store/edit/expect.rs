//! `expect`: what a record must be for a write to happen.

use crate::json::{Json, Object, Raw};
use crate::protocol::{ErrorCode, OpError};
use crate::store::data::Members;
use crate::store::{Bucket, Lookup, Row};

/// Fields and the values that they must have.
#[derive(Clone, Debug, Default)]
pub struct Expect(Vec<(Box<str>, Json)>);

impl Expect {
    /// The member `expect` of a request; absent or `null` is none.
    ///
    /// # Errors
    /// `Invalid "expect": …`
    pub fn parse(value: Option<&Json>) -> Result<Option<Expect>, OpError> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
        let Some(object) = value.as_object() else {
            return Err(OpError::validation("Invalid \"expect\": expected object"));
        };
        let members = object.iter().map(|(name, value)| (name.into(), Some(value.clone())));
        Expect::of_members(members.collect()).map(Some)
    }

    /// The same for values that may be undefined: these must be absent.
    ///
    /// # Errors
    /// `Invalid "expect": …`
    pub fn of_members(members: Members) -> Result<Expect, OpError> {
        let fields = members.into_iter().map(|(name, value)| match value.unwrap_or_default() {
            Json::Array(_) | Json::Object(_) => Err(OpError::validation(format!(
                "Invalid \"expect\": expected string, number, boolean or null for field \"{name}\""
            ))),
            value => Ok((name, value)),
        });
        fields.collect::<Result<_, _>>().map(Expect)
    }

    /// Holds a record against it; `None`: there is no such record.
    ///
    /// # Errors
    /// `CONFLICT`, with the fields that differ and the record as it is.
    pub(in crate::store) fn check(
        &self,
        bucket: &Bucket,
        key: &Lookup,
        row: Option<&Row>,
    ) -> Result<(), OpError> {
        let differs = |(name, expected): &&(Box<str>, Json)| match row {
            Some(row) => !is_same(row.field(&bucket.layout.field(name)), expected),
            None => true,
        };
        let fields: Vec<Json> =
            self.0.iter().filter(differs).map(|(name, _)| Json::from(&**name)).collect();
        if fields.is_empty() && row.is_some() {
            return Ok(());
        }
        let shown = key.key().map_or_else(|| Json::from(key.to_string()), |key| key.to_json());
        let mut details: Object = [
            ("bucket", Json::from(&*bucket.name)),
            ("key", shown),
            ("fields", Json::Array(fields)),
        ]
        .into_iter()
        .collect();
        if let Some(row) = row {
            details.insert("record", row.to_json());
        }
        let text =
            format!("Record with key \"{key}\" in bucket \"{}\" is not as expected", bucket.name);
        Err(OpError::new(ErrorCode::Conflict, text).with_details(Json::Object(details)))
    }

    /// So many fields are looked at.
    pub(in crate::store) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Strictly equal, and absent is `null`.
fn is_same(value: Option<Raw<'_>>, expected: &Json) -> bool {
    let value = value.unwrap_or(Raw::NULL);
    match expected {
        Json::Null => value.is_null(),
        Json::Bool(expected) => value.as_bool() == Some(*expected),
        Json::Number(expected) => value.as_number() == Some(*expected),
        Json::String(expected) => value.as_str().is_some_and(|text| *text == **expected),
        Json::Array(_) | Json::Object(_) => false,
    }
}
