//! From JSON to conditions: structure, and the checks of malformed operands.

use std::collections::{HashMap, HashSet};

use super::{Alternative, Condition, Filter, Group, Literal, Op, Relation, Set, Term, Test};
use crate::json::Json;
use crate::json::js::Primitive;
use crate::protocol::OpError;
use crate::store::search::Search;
use crate::store::{FieldRef, Layout};

/// The operators on a field.
pub(crate) const OPERATORS: [&str; 14] = [
    "$eq",
    "$neq",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$contains",
    "$startsWith",
    "$endsWith",
    "$exists",
    "$between",
    "$search",
];

/// Longer lists are looked up in a table.
const TABLE_FROM: usize = 12;

fn invalid(reason: impl std::fmt::Display) -> OpError {
    OpError::validation(format!("Invalid filter: {reason}"))
}

pub(super) fn filter(layout: &Layout, term: &Term) -> Result<Filter, OpError> {
    let mut fields = Fields { layout, numbers: HashMap::new(), found: Vec::new() };
    let root = group(&mut fields, term)?;
    Ok(Filter { root, fields: fields.found.into(), also: None })
}

/// The fields that a filter asks for, numbered in the order of their first
/// mention, so that they need not be compared by name for each record.
struct Fields<'t> {
    layout: &'t Layout,
    numbers: HashMap<&'t str, u32>,
    found: Vec<FieldRef>,
}

impl<'t> Fields<'t> {
    fn number(&mut self, name: &'t str) -> u32 {
        *self.numbers.entry(name).or_insert_with(|| {
            self.found.push(self.layout.field(name));
            u32::try_from(self.found.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

fn group<'t>(fields: &mut Fields<'t>, term: &'t Term) -> Result<Group, OpError> {
    let Term::Object(members) = term else {
        return Err(invalid(format_args!("expected an object, got {}", term.kind())));
    };
    let mut group = Group::default();
    for (name, value) in members {
        match (&**name, value) {
            ("$or" | "$and", Term::Undefined) => {}
            ("$or", value) => {
                let groups = groups(fields, "$or", value)?;
                group.any =
                    Some(groups.map(|group| group.map(alternative)).collect::<Result<_, _>>()?);
            }
            ("$and", value) => {
                group.all = groups(fields, "$and", value)?.collect::<Result<_, _>>()?
            }
            (name, value) => {
                let test = condition(name, value, fields.layout.is_searched(name))?;
                group.conditions.push(Condition { field: fields.number(name), test });
            }
        }
    }
    Ok(group)
}

/// A group that is nothing but one condition needs none of the rest.
fn alternative(mut group: Group) -> Alternative {
    match group.conditions.pop() {
        Some(one) if group.conditions.is_empty() && group.all.is_empty() && group.any.is_none() => {
            Alternative::One(one)
        }
        last => {
            group.conditions.extend(last);
            Alternative::Several(Box::new(group))
        }
    }
}

fn groups<'a, 't>(
    fields: &'a mut Fields<'t>,
    name: &'a str,
    term: &'t Term,
) -> Result<impl Iterator<Item = Result<Group, OpError>> + use<'a, 't>, OpError> {
    let Term::Array(elements) = term else {
        return Err(invalid(format_args!(
            "\"{name}\" expects an array of filters, got {}",
            term.kind()
        )));
    };
    Ok(elements.iter().map(move |element| match element {
        Term::Object(_) => group(fields, element),
        other => Err(invalid(format_args!(
            "\"{name}\" expects an array of filters, but an element is {}",
            other.kind()
        ))),
    }))
}

/// `is_searched`: the field has an index of its words.
pub(super) fn condition(field: &str, term: &Term, is_searched: bool) -> Result<Test, OpError> {
    match term {
        Term::Undefined => Ok(Test::Absent),
        Term::Object(members)
            if !members.is_empty() && members.iter().all(|(name, _)| name.starts_with('$')) =>
        {
            let mut operators = Vec::with_capacity(members.len());
            for (name, operand) in members {
                if name.as_ref() == "$search" && !is_searched {
                    return Err(invalid("\"$search\" needs a field with \"search\""));
                }
                operators.extend(operator(field, name, operand)?);
            }
            Ok(match operators.len() {
                1 => operators.pop().map_or_else(|| Test::Operators(Vec::new()), Test::Operator),
                _ => Test::Operators(operators),
            })
        }
        plain => Ok(Test::Equals(literal(plain))),
    }
}

/// `None`: the operand is undefined, which switches the operator off.
fn operator(field: &str, name: &str, operand: &Term) -> Result<Option<Op>, OpError> {
    let wrong = |wanted: &str| {
        invalid(format_args!("\"{name}\" of \"{field}\" expects {wanted}, got {}", operand.kind()))
    };
    let relation = |relation| Op::Compare(relation, primitive(operand));
    let text = || match operand {
        Term::Scalar(Json::String(text)) => Ok(text.clone()),
        _ => Err(wrong("a string")),
    };
    if !OPERATORS.contains(&name) {
        return Err(invalid(format_args!(
            "unknown operator \"{name}\" for \"{field}\", expected one of: $eq, $neq, $gt, $gte, \
             $lt, $lte, $in, $nin, $contains, $startsWith, $endsWith, $exists, $between, $search"
        )));
    }
    if *operand == Term::Undefined {
        return Ok(None);
    }
    Ok(Some(match name {
        "$eq" => Op::Eq(literal(operand)),
        "$neq" => Op::Neq(literal(operand)),
        "$gt" => relation(Relation::Gt),
        "$gte" => relation(Relation::Gte),
        "$lt" => relation(Relation::Lt),
        "$lte" => relation(Relation::Lte),
        "$in" => Op::In(Box::new(set(operand).ok_or_else(|| wrong("an array"))?)),
        "$nin" => Op::Nin(Box::new(set(operand).ok_or_else(|| wrong("an array"))?)),
        "$contains" => Op::Contains(text()?.to_lowercase().into()),
        "$startsWith" => Op::StartsWith(text()?),
        "$endsWith" => Op::EndsWith(text()?),
        "$search" => Op::Search(Box::new(Search::parse(&text()?))),
        "$exists" => match operand {
            Term::Scalar(Json::Bool(wanted)) => Op::Exists(*wanted),
            _ => return Err(wrong("a boolean")),
        },
        // The names were checked above; this is "$between".
        _ => match operand {
            Term::Array(bounds) => match &bounds[..] {
                [low, high] => Op::Between(Box::new([primitive(low), primitive(high)])),
                _ => return Err(wrong("an array of two bounds")),
            },
            _ => return Err(wrong("an array of two bounds")),
        },
    }))
}

fn literal(term: &Term) -> Literal {
    match term {
        Term::Scalar(json) => Literal::Scalar(storage_text(json)),
        Term::Undefined | Term::Array(_) | Term::Object(_) => Literal::Nothing,
    }
}

fn storage_text(json: &Json) -> Box<str> {
    let mut text = Vec::new();
    json.write_lossless(&mut text);
    String::from_utf8(text).unwrap_or_default().into()
}

fn primitive(term: &Term) -> Primitive<'static> {
    match term {
        // `undefined` compares as NaN: with nothing.
        Term::Undefined => Primitive::Number(f64::NAN),
        Term::Scalar(json) => Primitive::of_json(json).into_owned(),
        other => Primitive::String(other.to_text().into()),
    }
}

fn set(term: &Term) -> Option<Set> {
    let Term::Array(elements) = term else { return None };
    let mut set = Set::default();
    let mut table = HashSet::new();
    for element in elements {
        match element {
            Term::Undefined => set.absent = true,
            Term::Scalar(json) => {
                let text = storage_text(json);
                if table.insert(text.clone()) {
                    set.texts.push(text);
                }
            }
            Term::Array(_) | Term::Object(_) => {}
        }
    }
    set.table = (set.texts.len() >= TABLE_FROM).then_some(table);
    Some(set)
}
