//! What definitions mean for a program, in no language yet.

use crate::json::Json;

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
