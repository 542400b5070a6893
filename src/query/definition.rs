//! What a declarative query is: its configuration, checked once.

use std::collections::HashSet;

use super::order::Direction;
use super::params::Template;
use crate::json::js::js_order;
use crate::json::{Json, Object};
use crate::spelling::{Unknown, UnknownMember};

/// The functions of `aggregate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl Function {
    pub const fn as_str(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Avg => "avg",
            Function::Min => "min",
            Function::Max => "max",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Function::Count, Function::Sum, Function::Avg, Function::Min, Function::Max]
            .into_iter()
            .find(|function| function.as_str() == name)
    }
}

/// `aggregate` of a query.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub function: Function,
    /// There unless the function is `count`, which ignores it.
    pub field: Option<Box<str>>,
    pub group_by: Option<Vec<Box<str>>>,
}

/// A declarative query.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// As it was supplied: what `store.listQueries` shows.
    pub config: Json,
    /// The name and not the id: a query outlives its bucket and works again
    /// when the name is defined anew.
    pub bucket: Box<str>,
    pub filter: Template,
    /// Empty with `aggregate`, which ignores the rest too.
    pub sort: Vec<(Box<str>, Direction)>,
    pub offset: usize,
    pub limit: Option<usize>,
    /// Empty: the whole record.
    pub fields: Vec<Box<str>>,
    pub aggregate: Option<Aggregate>,
}

impl Definition {
    /// Checks everything but the existence of the bucket and the filter, which
    /// need the store. `Err` is the reason in `Invalid query "{name}": {reason}`.
    pub fn parse(config: &Json) -> Result<Definition, String> {
        let members = Members(config);
        let bucket = config.get("bucket").and_then(Json::as_str).unwrap_or_default();
        let filter = match members.get("filter") {
            None => Json::Object(Object::new()),
            Some(filter @ Json::Object(_)) => filter.clone(),
            Some(_) => return Err("\"filter\" must be an object".into()),
        };
        let strict = match members.get("strictParams") {
            None => false,
            Some(Json::Bool(strict)) => *strict,
            Some(_) => return Err("\"strictParams\" must be a boolean".into()),
        };
        let mut definition = Definition {
            config: config.clone(),
            bucket: bucket.into(),
            filter: Template::new(filter, strict),
            sort: members.sort()?,
            offset: members.whole_number("offset")?.unwrap_or(0),
            limit: members.whole_number("limit")?,
            fields: members.fields()?,
            aggregate: members.aggregate()?,
        };
        if definition.aggregate.is_some() {
            definition.sort.clear();
            definition.offset = 0;
            definition.limit = None;
            definition.fields.clear();
        }
        Ok(definition)
    }

    /// What the query says: without what is the default anyway or has no effect,
    /// and what is not known.
    pub fn normal(&self) -> Object {
        let mut normal = Object::new();
        let names = |names: &[Box<str>]| {
            Json::Array(names.iter().map(|name| Json::from(&**name)).collect())
        };
        normal.insert("bucket", Json::from(&*self.bucket));
        let filter = self.config.get("filter").and_then(Json::as_object);
        if let Some(filter) = filter.filter(|filter| !filter.is_empty()) {
            normal.insert("filter", Json::Object(filter.clone()));
        }
        if self.config.get("strictParams").and_then(Json::as_bool) == Some(true) {
            normal.insert("strictParams", Json::Bool(true));
        }
        if !self.sort.is_empty() {
            // A list, because its order is what it says.
            let keys = self.sort.iter().map(|(field, direction)| {
                Json::Array(vec![Json::from(&**field), Json::from(direction.as_str())])
            });
            normal.insert("sort", Json::Array(keys.collect()));
        }
        if self.offset > 0 {
            normal.insert("offset", Json::Number(self.offset as f64));
        }
        if let Some(limit) = self.limit {
            normal.insert("limit", Json::Number(limit as f64));
        }
        if !self.fields.is_empty() {
            normal.insert("fields", names(&self.fields));
        }
        if let Some(Aggregate { function, field, group_by }) = &self.aggregate {
            let mut aggregate = Object::new();
            aggregate.insert("function", Json::from(function.as_str()));
            if let Some(field) = field.as_deref().filter(|_| *function != Function::Count) {
                aggregate.insert("field", Json::from(field));
            }
            if let Some(fields) = group_by {
                aggregate.insert("groupBy", names(fields));
            }
            normal.insert("aggregate", Json::Object(aggregate));
        }
        normal
    }
}

const MEMBERS: &[&str] =
    &["bucket", "filter", "sort", "limit", "offset", "fields", "aggregate", "strictParams"];
const AGGREGATE: &[&str] = &["function", "field", "groupBy"];

/// The first `most` members of a query that have no meaning.
pub(crate) fn unknown_members(config: &Json, most: usize) -> Vec<UnknownMember> {
    let mut unknown = Unknown::at_most(most);
    if let Some(config) = config.as_object() {
        unknown.look("", config, MEMBERS);
    }
    if let Some(aggregate) = config.get("aggregate").and_then(Json::as_object) {
        unknown.look("aggregate", aggregate, AGGREGATE);
    }
    unknown.found()
}

struct Members<'j>(&'j Json);

impl<'j> Members<'j> {
    /// A member that is there; null counts as absent.
    fn get(&self, name: &str) -> Option<&'j Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn sort(&self) -> Result<Vec<(Box<str>, Direction)>, String> {
        let Some(sort) = self.get("sort") else { return Ok(Vec::new()) };
        let Some(sort) = sort.as_object() else { return Err("\"sort\" must be an object".into()) };
        js_order(sort)
            .into_iter()
            .map(|(field, direction)| {
                let direction = match direction.as_str() {
                    Some("asc") => Direction::Ascending,
                    Some("desc") => Direction::Descending,
                    _ => {
                        return Err(format!(
                            "sort direction of \"{field}\" must be \"asc\" or \"desc\""
                        ));
                    }
                };
                Ok((field.into(), direction))
            })
            .collect()
    }

    fn whole_number(&self, name: &str) -> Result<Option<usize>, String> {
        match self.get(name) {
            None => Ok(None),
            // Beyond `usize` means "as many as there are".
            Some(Json::Number(n)) if *n >= 0.0 && n.trunc() == *n && n.is_finite() => {
                Ok(Some(*n as usize))
            }
            Some(_) => Err(format!("\"{name}\" must be a non-negative integer")),
        }
    }

    fn fields(&self) -> Result<Vec<Box<str>>, String> {
        let mut fields: Vec<Box<str>> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        match self.get("fields") {
            None => {}
            Some(Json::Array(names)) => {
                for name in names {
                    let Some(name) = name.as_str() else {
                        return Err("\"fields\" must be an array of strings".into());
                    };
                    if seen.insert(name) {
                        fields.push(name.into());
                    }
                }
            }
            Some(_) => return Err("\"fields\" must be an array of strings".into()),
        }
        Ok(fields)
    }

    fn aggregate(&self) -> Result<Option<Aggregate>, String> {
        let Some(aggregate) = self.get("aggregate") else { return Ok(None) };
        if aggregate.as_object().is_none() {
            return Err("\"aggregate\" must be an object".into());
        }
        let members = Members(aggregate);
        let name = members.get("function").and_then(Json::as_str);
        let Some(function) = name.and_then(Function::from_name) else {
            return Err("\"aggregate.function\" must be one of: count, sum, avg, min, max".into());
        };
        let field = members.get("field").and_then(Json::as_str).filter(|field| !field.is_empty());
        if field.is_none() && function != Function::Count {
            return Err(format!("\"aggregate.field\" is required for {}", function.as_str()));
        }
        let names = "\"aggregate.groupBy\" must be a non-empty string or an array of strings";
        let group_by = match members.get("groupBy") {
            None => None,
            Some(Json::String(name)) if !name.is_empty() => Some(vec![name.clone()]),
            Some(Json::Array(fields)) => {
                let fields: Option<Vec<Box<str>>> =
                    fields.iter().map(|field| field.as_str().map(Into::into)).collect();
                Some(fields.ok_or(names)?)
            }
            Some(_) => return Err(names.into()),
        };
        Ok(Some(Aggregate { function, field: field.map(Into::into), group_by }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn define(text: &str) -> Result<Definition, String> {
        Definition::parse(&parse(text, 64).expect("JSON").to_json())
    }

    #[test]
    fn mistakes_are_named() {
        for (config, reason) in [
            (r#"{"filter":[]}"#, "\"filter\" must be an object"),
            (r#"{"sort":"a"}"#, "\"sort\" must be an object"),
            (r#"{"sort":{"a":"up"}}"#, "sort direction of \"a\" must be \"asc\" or \"desc\""),
            (r#"{"limit":-1}"#, "\"limit\" must be a non-negative integer"),
            (r#"{"limit":1.5}"#, "\"limit\" must be a non-negative integer"),
            (r#"{"offset":"3"}"#, "\"offset\" must be a non-negative integer"),
            (r#"{"limit":1e400}"#, "\"limit\" must be a non-negative integer"),
            (r#"{"fields":"a"}"#, "\"fields\" must be an array of strings"),
            (r#"{"fields":["a",1]}"#, "\"fields\" must be an array of strings"),
            (r#"{"aggregate":1}"#, "\"aggregate\" must be an object"),
            (r#"{"strictParams":1}"#, "\"strictParams\" must be a boolean"),
            (
                r#"{"aggregate":{"function":"median"}}"#,
                "\"aggregate.function\" must be one of: count, sum, avg, min, max",
            ),
            (r#"{"aggregate":{"function":"sum"}}"#, "\"aggregate.field\" is required for sum"),
            (
                r#"{"aggregate":{"function":"count","groupBy":""}}"#,
                "\"aggregate.groupBy\" must be a non-empty string or an array of strings",
            ),
        ] {
            assert_eq!(define(config).expect_err(config), reason);
        }
    }

    #[test]
    fn null_is_absent_and_an_aggregate_replaces_the_rows() {
        let config = r#"{"bucket":"b","filter":null,"sort":null,"limit":null,"offset":null,
            "fields":null,"aggregate":null,"strictParams":null}"#;
        let plain = define(config).expect("valid");
        assert!(plain.aggregate.is_none() && plain.sort.is_empty() && plain.limit.is_none());
        let config = r#"{"bucket":"b","sort":{"a":"asc"},"limit":3,"fields":["a","b","a"]}"#;
        let rows = define(config).expect("valid");
        assert_eq!(rows.fields, ["a".into(), "b".into()]);
        assert_eq!((rows.limit, rows.offset, rows.sort.len()), (Some(3), 0, 1));
        let config = r#"{"bucket":"b","sort":{"b":"asc","10":"asc","a":"desc","9":"asc"}}"#;
        let rows = define(config).expect("valid");
        let keys: Vec<&str> = rows.sort.iter().map(|(field, _)| &**field).collect();
        assert_eq!(keys, ["9", "10", "b", "a"], "JavaScript's order of members");
        let config = r#"{"bucket":"b","sort":{"a":"asc"},"limit":3,
            "aggregate":{"function":"count","groupBy":["x","y"]}}"#;
        let groups = define(config).expect("valid");
        assert!(groups.aggregate.is_some() && groups.sort.is_empty() && groups.limit.is_none());
    }
}
