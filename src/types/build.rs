//! The model of a set of definitions.

use super::model::{Member, Model, Outcome, Procedure, QUERY, Query, Rows, Type, View};
use super::names::{Names, pascal};
use super::{Definitions, fields, params, views};
use crate::json::{Json, Object};

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
