//! One field of a definition: its type and its constraints.

use hashbrown::HashSet;

use super::Format;
use super::error::DefinitionError;
use super::issues::{MAX_TEXT, MAX_VALUES, shortened};
use crate::budget::Budget;
use crate::json::js::{js_order, string_of_json};
use crate::json::{Json, Object};
use crate::store::pattern::Pattern;

/// Longer lists are looked up in a table.
const TABLE_FROM: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    String,
    Number,
    Boolean,
    Object,
    Array,
    /// A string or a number; nothing is parsed.
    Date,
}

impl FieldType {
    pub const ALL: [FieldType; 6] = [
        FieldType::String,
        FieldType::Number,
        FieldType::Boolean,
        FieldType::Object,
        FieldType::Array,
        FieldType::Date,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            FieldType::String => "string",
            FieldType::Number => "number",
            FieldType::Boolean => "boolean",
            FieldType::Object => "object",
            FieldType::Array => "array",
            FieldType::Date => "date",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    Uuid,
    Cuid,
    Autoincrement,
    Timestamp,
}

impl Generated {
    const ALL: [(&'static str, Generated); 4] = [
        ("uuid", Generated::Uuid),
        ("cuid", Generated::Cuid),
        ("autoincrement", Generated::Autoincrement),
        ("timestamp", Generated::Timestamp),
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Generated::Uuid => "uuid",
            Generated::Cuid => "cuid",
            Generated::Autoincrement => "autoincrement",
            Generated::Timestamp => "timestamp",
        }
    }
}

/// What happens to a record when the record it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDelete {
    #[default]
    Restrict,
    Cascade,
    SetNull,
}

impl OnDelete {
    const ALL: [(&'static str, OnDelete); 3] = [
        ("restrict", OnDelete::Restrict),
        ("cascade", OnDelete::Cascade),
        ("set_null", OnDelete::SetNull),
    ];
}

/// A field whose value is the key of a record in another bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub bucket: Box<str>,
    pub on_delete: OnDelete,
}

/// What a value must be like, at any level of a record.
#[derive(Clone, Debug)]
pub struct Constraints {
    pub field_type: FieldType,
    pub one_of: Option<OneOf>,
    pub format: Option<Format>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Lengths in UTF-16 code units.
    pub min_length: Option<f64>,
    pub max_length: Option<f64>,
    pub pattern: Option<Pattern>,
    pub properties: Vec<Property>,
    pub items: Option<Box<Constraints>>,
}

impl Constraints {
    /// Whether values are texts, or lists of them.
    fn has_words(&self) -> bool {
        match self.field_type {
            FieldType::String => true,
            FieldType::Array => {
                let of = self.items.as_ref().map(|items| items.field_type);
                of.is_none_or(|of| of == FieldType::String)
            }
            _ => false,
        }
    }

    /// Whether nothing is asked for but the type.
    pub fn is_only_type(&self) -> bool {
        let Constraints {
            field_type: _,
            one_of,
            format,
            min,
            max,
            min_length,
            max_length,
            pattern,
            properties,
            items,
        } = self;
        one_of.is_none()
            && format.is_none()
            && min.or(*max).or(*min_length).or(*max_length).is_none()
            && pattern.is_none()
            && properties.is_empty()
            && items.is_none()
    }
}

/// The values of an `enum`.
#[derive(Clone, Debug)]
pub struct OneOf {
    /// The scalars among them in storage form, in which equal values have
    /// equal text.
    pub texts: Vec<Box<str>>,
    /// The same, built where a list would be slow.
    table: Option<HashSet<Box<str>>>,
    pub message: Box<str>,
}

/// A member of a nested object.
#[derive(Clone, Debug)]
pub struct Property {
    pub name: Box<str>,
    pub required: bool,
    pub constraints: Constraints,
}

/// A field of the record itself.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Box<str>,
    pub required: bool,
    pub unique: bool,
    pub default: Option<Json>,
    pub generated: Option<Generated>,
    pub reference: Option<Reference>,
    /// Its words are indexed.
    pub search: bool,
    pub constraints: Constraints,
}

/// A place in a definition, for messages: `schema.qty.min`.
pub(super) struct At<'a> {
    pub path: &'a str,
    pub member: &'a Object,
    /// What patterns that are compiled are taken from. Used up, the definition
    /// is not whole.
    pub budget: &'a Budget,
}

impl<'a> At<'a> {
    pub fn fail(&self, name: &str, reason: impl Into<String>) -> DefinitionError {
        DefinitionError::at(format!("{}.{name}", self.path), reason)
    }

    /// A member that must have a certain type if it is there.
    pub fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, DefinitionError> {
        let Some(value) = self.member.get(name) else { return Ok(None) };
        read(value)
            .map(Some)
            .ok_or_else(|| self.fail(name, format!("expected {wanted}, got {}", kind_of(value))))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, DefinitionError> {
        self.typed(name, "boolean", Json::as_bool)
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>, DefinitionError> {
        self.typed(name, "number", Json::as_number)
    }

    /// One of a closed list of names.
    pub fn choice<T: Copy>(
        &self,
        name: &str,
        what: &str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, DefinitionError> {
        let Some(value) = self.member.get(name) else { return Ok(None) };
        let found = choices.iter().find(|(choice, _)| value.as_str() == Some(choice));
        found.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let known: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            self.fail(
                name,
                format!(
                    "unknown {what} \"{}\", expected one of: {}",
                    string_of_json(value),
                    known.join(", ")
                ),
            )
        })
    }

    fn no_callback(&self) -> Result<(), DefinitionError> {
        match self.member.get("validate") {
            None | Some(Json::Null) => Ok(()),
            Some(_) => Err(self.fail("validate", "a function cannot be given as JSON")),
        }
    }
}

pub(super) fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

impl Field {
    pub(super) fn parse(
        name: &str,
        definition: &Json,
        budget: &Budget,
    ) -> Result<Field, DefinitionError> {
        let path = format!("schema.{name}");
        let member = as_definition(&path, definition)?;
        let at = At { path: &path, member, budget };
        let constraints = Constraints::parse(&at)?;
        let target = at.typed("ref", "the name of a bucket", |value| {
            value.as_str().filter(|name| !name.is_empty())
        })?;
        let on_delete = at.choice("onDelete", "onDelete", &OnDelete::ALL)?.unwrap_or_default();
        let search = at.flag("search")?.unwrap_or(false);
        if search && !constraints.has_words() {
            return Err(at.fail("search", "needs type string, or array of strings"));
        }
        Ok(Field {
            name: name.into(),
            search,
            required: at.flag("required")?.unwrap_or(false),
            unique: at.flag("unique")?.unwrap_or(false),
            default: member.get("default").cloned(),
            generated: at
                .choice("generated", "generator", &Generated::ALL)?
                .or_else(|| automatic(member)),
            reference: target.map(|bucket| Reference { bucket: bucket.into(), on_delete }),
            constraints,
        })
    }

    /// Whether `store.update` leaves the field alone.
    pub fn is_immutable(&self) -> bool {
        self.generated.is_some()
    }
}

/// What `auto` asks for where `generated` does not say it: the examples of
/// noex-server write it so.
pub(super) fn automatic(field: &Object) -> Option<Generated> {
    if field.contains("generated") {
        return None;
    }
    let name = field.get("auto")?.as_str()?;
    Generated::ALL.iter().find(|(known, _)| *known == name).map(|(_, generated)| *generated)
}

fn as_definition<'a>(path: &str, value: &'a Json) -> Result<&'a Object, DefinitionError> {
    value.as_object().ok_or_else(|| {
        DefinitionError::at(path, format!("expected a field definition, got {}", kind_of(value)))
    })
}

impl Constraints {
    fn parse(at: &At<'_>) -> Result<Constraints, DefinitionError> {
        at.no_callback()?;
        let types = FieldType::ALL.map(|field_type| (field_type.as_str(), field_type));
        let field_type = at.choice("type", "type", &types)?.ok_or_else(|| {
            let known: Vec<_> = types.iter().map(|(name, _)| *name).collect();
            at.fail("type", format!("missing, expected one of: {}", known.join(", ")))
        })?;
        let pattern = match at.typed("pattern", "a regular expression", Json::as_str)? {
            Some(source) => Pattern::within(source, at.budget).map_err(|error| {
                at.fail("pattern", format!("\"{source}\" is not a regular expression: {error}"))
            })?,
            None => None,
        };
        let formats = Format::ALL.map(|format| (format.as_str(), format));
        let one_of = at.typed("enum", "an array", Json::as_array)?.map(OneOf::new);
        let mut properties = Vec::new();
        if let Some(members) = at.typed("properties", "an object", Json::as_object)? {
            for (name, definition) in js_order(members) {
                let path = format!("{}.properties.{name}", at.path);
                let member = as_definition(&path, definition)?;
                let at = At { path: &path, member, budget: at.budget };
                properties.push(Property {
                    name: name.into(),
                    required: at.flag("required")?.unwrap_or(false),
                    constraints: Constraints::parse(&at)?,
                });
            }
        }
        let items = match at.member.get("items") {
            None => None,
            Some(definition) => {
                let path = format!("{}.items", at.path);
                let member = as_definition(&path, definition)?;
                Some(Box::new(Constraints::parse(&At { path: &path, member, budget: at.budget })?))
            }
        };
        Ok(Constraints {
            field_type,
            one_of,
            format: at.choice("format", "format", &formats)?,
            min: at.number("min")?,
            max: at.number("max")?,
            min_length: at.number("minLength")?,
            max_length: at.number("maxLength")?,
            pattern,
            properties,
            items,
        })
    }
}

impl OneOf {
    fn new(values: &[Json]) -> Self {
        let mut texts = Vec::new();
        for value in values {
            if !matches!(value, Json::Null | Json::Array(_) | Json::Object(_)) {
                let mut text = Vec::new();
                value.write_lossless(&mut text);
                texts.push(String::from_utf8(text).unwrap_or_default().into());
            }
        }
        let names: Vec<_> = values.iter().take(MAX_VALUES).map(string_of_json).collect();
        let mut message = format!("Value must be one of: {}", names.join(", "));
        if values.len() > MAX_VALUES {
            // Said even if the values before it are cut.
            let all = format!(" … ({} in all)", values.len());
            let room = MAX_TEXT - all.chars().count();
            message = format!("{}{all}", shortened(&message, room));
        }
        let message = shortened(&message, MAX_TEXT).into();
        let table = (texts.len() >= TABLE_FROM).then(|| texts.iter().cloned().collect());
        OneOf { texts, table, message }
    }

    /// Whether a value in storage form is one of them.
    pub fn contains(&self, value: &str) -> bool {
        match &self.table {
            Some(table) => table.contains(value),
            None => self.texts.iter().any(|text| **text == *value),
        }
    }
}
