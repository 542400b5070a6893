//! What definitions mean for a program, in no language yet.

use super::names::{Names, pascal};
use super::{Definitions, fields, params, views};
use crate::json::{Json, Object};

/// A type that both languages can say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    String,
    Number,
    Boolean,
    Null,
    Json,
    JsonObject,
    /// Of undeclared fields.
    Unknown,
    Never,
    /// One of these scalars.
    Literal(Json),
    /// The key of a bucket, by its place in the model.
    Key(usize),
    Object(Shape),
    Array(Box<Type>),
    Pair(Box<Type>),
    /// A filter on records of a bucket, if it is known.
    Filter(Option<usize>),
    Union(Vec<Type>),
}

/// An object with known members.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// For languages in which it needs one.
    pub name: String,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub name: String,
    pub is: Type,
    pub optional: bool,
    /// For people: what a type cannot say.
    pub note: String,
}

impl Type {
    pub fn or_null(self) -> Type {
        union([self, Type::Null])
    }

    pub fn scalar() -> Type {
        Type::Union(vec![Type::String, Type::Number, Type::Boolean, Type::Null])
    }

    fn atoms(&self) -> &[Type] {
        match self {
            Type::Union(types) => types,
            other => std::slice::from_ref(other),
        }
    }
}

/// Each of them once, without unions inside; `Never` for none.
pub(super) fn union(types: impl IntoIterator<Item = Type>) -> Type {
    let mut all: Vec<Type> = Vec::new();
    for one in types {
        for atom in one.atoms() {
            if *atom != Type::Never && !all.contains(atom) {
                all.push(atom.clone());
            }
        }
    }
    match all.len() {
        0 => Type::Never,
        1 => all.swap_remove(0),
        _ => Type::Union(all),
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub name: String,
    /// Of the record; the others end with `Insert`, `Update` and `Key`.
    pub type_name: String,
    pub key: Type,
    pub record: Vec<Member>,
    pub insert: Vec<Member>,
    pub update: Vec<Member>,
}

impl Bucket {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.record.iter().find(|member| member.name == name)
    }
}

/// Records of a bucket, or some of their fields.
#[derive(Debug)]
pub(super) struct Rows {
    /// Place in the model, of a bucket that is known.
    pub bucket: Option<usize>,
    /// `None`: whole records.
    pub fields: Option<Vec<String>>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Rows(Rows),
    Value(Type),
    /// What the groups have in common.
    Groups(Rows),
}

#[derive(Debug)]
pub(super) struct Query {
    pub name: String,
    /// Its types end with one of [`QUERY`].
    pub type_name: String,
    pub bucket: String,
    pub params: Vec<Member>,
    pub outcome: Outcome,
}

/// Endings of the names of a query's types.
pub(super) const QUERY: [&str; 5] = ["Params", "Row", "Group", "GroupKey", "Result"];

#[derive(Debug)]
pub(super) struct Procedure {
    pub name: String,
    pub type_name: String,
    /// `None`: anything.
    pub input: Option<Vec<Member>>,
}

#[derive(Debug)]
pub(super) struct View {
    pub name: String,
    pub type_name: String,
    pub columns: Vec<Member>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub hash: String,
    pub buckets: Vec<Bucket>,
    pub queries: Vec<Query>,
    /// Queries that are programs: nobody knows what they answer.
    pub programs: Vec<String>,
    pub procedures: Vec<Procedure>,
    pub views: Vec<View>,
}

impl Model {
    pub fn of(definitions: &Definitions) -> Model {
        let mut names = Names::new();
        let buckets = fields::buckets(definitions, &mut names);
        let mut model = Model {
            hash: definitions.hash(),
            buckets,
            queries: Vec::new(),
            programs: Vec::new(),
            procedures: Vec::new(),
            views: Vec::new(),
        };
        for (name, config) in definitions.queries.iter() {
            match config {
                Json::Object(config) => {
                    let query = model.query(name, config, &mut names);
                    model.queries.push(query);
                }
                _ => model.programs.push(name.to_owned()),
            }
        }
        for (name, input) in definitions.procedures.iter() {
            let type_name = names.family(&pascal(name), &["Input"]);
            let input = input.as_object().map(input_members);
            model.procedures.push(Procedure { name: name.to_owned(), type_name, input });
        }
        for (name, view) in definitions.views.iter() {
            let type_name = names.family(&pascal(name), &["Row"]);
            let columns = views::columns(view, &model.buckets);
            model.views.push(View { name: name.to_owned(), type_name, columns });
        }
        model
    }

    fn query(&self, name: &str, config: &Object, names: &mut Names) -> Query {
        let source = config.get("bucket").and_then(Json::as_str).unwrap_or_default();
        let bucket = self.buckets.iter().position(|bucket| bucket.name == source);
        Query {
            name: name.to_owned(),
            type_name: names.family(&pascal(name), &QUERY),
            bucket: source.to_owned(),
            params: params::of(config.get("filter"), bucket, &self.buckets),
            outcome: outcome(config, bucket),
        }
    }
}

fn outcome(config: &Object, bucket: Option<usize>) -> Outcome {
    let texts = |value: &Json| match value {
        Json::String(name) => vec![String::from(&**name)],
        other => {
            let elements = other.as_array().unwrap_or_default().iter();
            let mut names: Vec<String> = Vec::new();
            for name in elements.filter_map(Json::as_str) {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            names
        }
    };
    if let Some(aggregate) = config.get("aggregate").filter(|aggregate| !aggregate.is_null()) {
        if let Some(by) = aggregate.get("groupBy").filter(|by| !by.is_null()) {
            return Outcome::Groups(Rows { bucket, fields: Some(texts(by)) });
        }
        let function = aggregate.get("function").and_then(Json::as_str);
        return Outcome::Value(match function {
            Some("min" | "max") => Type::Number.or_null(),
            _ => Type::Number,
        });
    }
    let fields = config.get("fields").map(texts).filter(|fields| !fields.is_empty());
    Outcome::Rows(Rows { bucket, fields })
}

/// What a procedure takes; other members pass through.
fn input_members(input: &Object) -> Vec<Member> {
    let member = |(name, parameter): (&str, &Json)| {
        let is = match parameter.get("type").and_then(Json::as_str) {
            Some("string") => Type::String,
            Some("number") => Type::Number,
            Some("boolean") => Type::Boolean,
            Some("object") => Type::JsonObject,
            Some("array") => Type::Array(Box::new(Type::Json)),
            _ => Type::Json,
        };
        let optional = parameter.get("required").and_then(Json::as_bool) == Some(false)
            || parameter.as_object().is_some_and(|members| members.contains("default"));
        let is = if optional { is.or_null() } else { is };
        Member { name: name.to_owned(), is, optional, note: String::new() }
    };
    input.iter().map(member).collect()
}
