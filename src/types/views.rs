//! What the expressions of the logic engine give.

use super::model::{Bucket, Member, Type, union};
use crate::json::Json;

/// The one operator of an expression.
fn operator(expr: &Json) -> Option<&str> {
    let mut members = expr.as_object()?.keys();
    let name = members.next()?;
    members.next().is_none().then_some(name)
}

/// The type of a computed field that its schema does not declare.
pub(super) fn computed_type(expr: &Json) -> Type {
    match operator(expr) {
        Some(
            "$add" | "$subtract" | "$multiply" | "$divide" | "$mod" | "$abs" | "$floor" | "$ceil"
            | "$round" | "$length",
        ) => Type::Number.or_null(),
        Some(
            "$eq" | "$neq" | "$gt" | "$gte" | "$lt" | "$lte" | "$between" | "$in" | "$and" | "$or"
            | "$not",
        ) => Type::Boolean,
        Some("$concat" | "$upper" | "$lower" | "$trim" | "$substring") => Type::String.or_null(),
        _ => Type::Json,
    }
}

/// The columns of a view, from its `from` and `select`.
pub(super) fn columns(view: &Json, buckets: &[Bucket]) -> Vec<Member> {
    let from: Vec<(&str, &str)> = view
        .get("from")
        .and_then(Json::as_object)
        .map(|from| from.iter().filter_map(|(alias, name)| Some((alias, name.as_str()?))).collect())
        .unwrap_or_default();
    let Some(select) = view.get("select").and_then(Json::as_object) else { return Vec::new() };
    let column = |(name, column): (&str, &Json)| {
        let is = match column {
            Json::String(path) => path_type(path, &from, buckets).or_null(),
            other => match operator(other) {
                Some("$count" | "$sum") => Type::Number,
                Some("$avg") => Type::Number.or_null(),
                Some("$min" | "$max") => union([Type::Number, Type::String, Type::Null]),
                _ => Type::Json,
            },
        };
        Member { name: name.to_owned(), is, optional: false, note: String::new() }
    };
    select.iter().map(column).collect()
}

/// `alias.field.member`; of a single source also without the alias.
fn path_type(path: &str, from: &[(&str, &str)], buckets: &[Bucket]) -> Type {
    let path = path.strip_prefix('$').unwrap_or(path);
    let behind = |alias: &str| path.strip_prefix(alias)?.strip_prefix('.');
    let found = from.iter().find_map(|(alias, bucket)| Some((behind(alias)?, *bucket)));
    let (rest, bucket) = match (found, from) {
        (Some(found), _) => found,
        (None, [(_, bucket)]) => (path, *bucket),
        _ => return Type::Json,
    };
    let Some(bucket) = buckets.iter().find(|known| known.name == bucket) else {
        return Type::Json;
    };
    let mut steps = rest.split('.');
    let first = steps.next().and_then(|field| bucket.member(field));
    let Some(first) = first else { return Type::Json };
    steps.fold(first.is.clone(), |is, step| inside(&is, step))
}

/// The type of a member of a value.
fn inside(is: &Type, step: &str) -> Type {
    let one = |is: &Type| match is {
        Type::Object(shape) => {
            let member = shape.members.iter().find(|member| member.name == step);
            member.map_or(Type::Json, |member| member.is.clone())
        }
        Type::Null => Type::Null,
        Type::Array(element) if step.bytes().all(|byte| byte.is_ascii_digit()) => {
            (**element).clone()
        }
        _ => Type::Json,
    };
    let all = match is {
        Type::Union(types) => union(types.iter().map(one)),
        other => one(other),
    };
    match &all {
        // Anything, and more of it.
        Type::Union(types) if types.contains(&Type::Json) => Type::Json,
        _ => all,
    }
}
