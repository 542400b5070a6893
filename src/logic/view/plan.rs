//! From the definition of a view to what is evaluated, bound to the layouts of
//! its buckets. Also what is wrong with a definition: the same code, bound to
//! nothing.

use super::predicate::Predicate;
use crate::json::{Json, Object};
use crate::logic::expr::{Expr, ExprLimits, Place, Scope};
use crate::logic::issues::{Issues, present, required_text};
use crate::store::Layout;

/// Sources of one view.
const MAX_SOURCES: usize = 8;

/// The members of a definition that are kept.
const MEMBERS: [&str; 10] = [
    "name",
    "from",
    "select",
    "join",
    "where",
    "groupBy",
    "orderBy",
    "limit",
    "reactive",
    "asDefiner",
];

/// A view as it is evaluated.
#[derive(Debug)]
pub(super) struct Plan {
    pub joins: Vec<Join>,
    pub predicate: Predicate,
    /// `None`: neither groups nor aggregates. Empty: one group.
    pub group: Option<Vec<Place>>,
    pub columns: Vec<Column>,
    pub order: Vec<(Key, bool)>,
    pub limit: usize,
    /// Time is part of it: it cannot be kept, only evaluated.
    pub uses_now: bool,
}

/// An equality between two sources.
#[derive(Debug)]
pub(super) struct Join {
    pub ends: [(usize, Place); 2],
}

#[derive(Debug)]
pub(super) struct Column {
    pub name: Box<str>,
    pub expr: Expr,
    /// Where its aggregates begin among all.
    pub first_aggregate: usize,
}

/// What rows are ordered by.
#[derive(Debug)]
pub(super) enum Key {
    Column(usize),
    Path(Place),
}

/// The sources of a view: alias and bucket, in their order.
pub(super) type From = Vec<(Box<str>, Box<str>)>;

/// The members that are kept.
pub(super) fn stored(definition: &Object) -> Object {
    let kept = MEMBERS.iter().filter_map(|name| Some((*name, present(definition, name)?.clone())));
    kept.collect()
}

pub(super) fn sources(definition: &Object, issues: &mut Issues) -> From {
    let Some(from) = definition.get("from").and_then(Json::as_object).filter(|o| !o.is_empty())
    else {
        issues.add("Missing or invalid \"from\": expected non-empty object");
        return From::new();
    };
    let mut sources = From::new();
    for (alias, bucket) in from.iter() {
        let mut chars = alias.chars();
        let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            issues.add(format!("from: invalid alias \"{alias}\""));
        }
        let bucket = bucket.as_str().filter(|bucket| !bucket.is_empty());
        if bucket.is_none() {
            issues.add(format!("from.{alias}: expected non-empty string"));
        }
        sources.push((alias.into(), bucket.unwrap_or_default().into()));
    }
    if sources.len() > MAX_SOURCES {
        issues.add(format!("from: too many sources (maximum {MAX_SOURCES})"));
    }
    sources
}

/// Where paths of a view lead.
pub(super) struct Paths<'p> {
    pub from: &'p From,
    pub layouts: &'p [&'p Layout],
}

impl Paths<'_> {
    fn alias(&self, alias: &str) -> Option<usize> {
        self.from.iter().position(|(have, _)| **have == *alias)
    }

    /// Err: `unknown source "{x}"`.
    pub fn place(&self, path: &str) -> Result<Place, String> {
        let path = path.strip_prefix('$').unwrap_or(path);
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        match (self.alias(first), rest) {
            (Some(source), Some(rest)) => Ok(self.of(source, rest)),
            (Some(source), None) => {
                Ok(Place { field: None, rest: Box::default(), ..self.of(source, "") })
            }
            (None, _) if self.from.len() == 1 => Ok(self.of(0, path)),
            (None, _) => Err(format!("unknown source \"{first}\"")),
        }
    }

    fn of(&self, source: usize, path: &str) -> Place {
        match self.layouts.get(source) {
            Some(layout) => Place::of(source, path, layout),
            // A source that is not there: there is nothing to read.
            None => Place::of(source, path, &Layout::default()),
        }
    }
}

/// Checks a definition and compiles it.
pub(super) fn compile(
    definition: &Object,
    paths: &Paths<'_>,
    limits: ExprLimits,
    issues: &mut Issues,
) -> Plan {
    let joins = joins(definition, paths, issues);
    let resolve = |path: &str| paths.place(path);
    let predicate = match present(definition, "where") {
        None => Ok(Predicate::All(Vec::new())),
        Some(Json::Object(object)) => {
            let scope = Scope { resolve: &resolve, aggregates: false };
            Predicate::compile(object, &scope, limits)
        }
        Some(_) => Err("\"where\" must be an object".into()),
    };
    let predicate = predicate.unwrap_or_else(|text| {
        issues.add(text);
        Predicate::All(Vec::new())
    });
    let group = group_by(definition, paths, issues);
    let columns = columns(definition, &resolve, limits, issues);
    let aggregates = columns.iter().any(|column| !column.expr.aggregates().is_empty());
    let group = match (group, aggregates) {
        (Some(group), _) => Some(group),
        (None, true) => Some(Vec::new()),
        (None, false) => None,
    };
    let order = order_by(definition, paths, &columns, group.is_some(), issues);
    let limit = match present(definition, "limit") {
        None => usize::MAX,
        Some(limit) => {
            let number = limit.as_number().filter(|n| *n >= 0.0 && *n == n.trunc());
            number.map_or_else(
                || {
                    issues.add("\"limit\" must be a non-negative integer");
                    0
                },
                |number| number as usize,
            )
        }
    };
    for name in ["reactive", "asDefiner"] {
        if present(definition, name).is_some_and(|value| value.as_bool().is_none()) {
            issues.add(format!("\"{name}\" must be a boolean"));
        }
    }
    let uses_now = predicate.uses_now() || columns.iter().any(|column| column.expr.uses_now());
    Plan { joins, predicate, group, columns, order, limit, uses_now }
}

fn joins(definition: &Object, paths: &Paths<'_>, issues: &mut Issues) -> Vec<Join> {
    let mut joins: Vec<Join> = Vec::new();
    let pairs = match present(definition, "join") {
        None => None,
        Some(Json::Object(pairs)) => Some(pairs),
        Some(_) => {
            issues.add("\"join\" must be an object");
            return joins;
        }
    };
    let mut wrong = false;
    for (left, right) in pairs.into_iter().flat_map(Object::iter) {
        let right = right.as_str().map_or_else(|| right.to_text(), str::to_owned);
        match join(left, &right, paths) {
            Ok(join) => joins.push(join),
            Err(text) => {
                wrong = true;
                issues.add(format!("join: {text}"));
            }
        }
    }
    if wrong {
        return joins;
    }
    let mut linked = vec![false; paths.from.len()];
    linked.iter_mut().take(1).for_each(|first| *first = true);
    // As many rounds as there are sources reach the last one of a chain.
    for _ in paths.from {
        for Join { ends: [(a, _), (b, _)] } in &joins {
            let either = [a, b].iter().any(|at| linked.get(**at) == Some(&true));
            for at in [a, b] {
                if let Some(linked) = linked.get_mut(*at) {
                    *linked |= either;
                }
            }
        }
    }
    for ((alias, _), linked) in paths.from.iter().zip(linked) {
        if !linked {
            issues.add(format!("join: source \"{alias}\" is not joined"));
        }
    }
    joins
}

fn join(left: &str, right: &str, paths: &Paths<'_>) -> Result<Join, String> {
    let end = |path: &str| {
        let (alias, rest) = path
            .strip_prefix('$')
            .unwrap_or(path)
            .split_once('.')
            .filter(|(alias, rest)| !alias.is_empty() && !rest.is_empty())
            .ok_or_else(|| format!("\"{path}\" must be \"alias.field\""))?;
        let source = paths.alias(alias).ok_or_else(|| format!("unknown source \"{alias}\""))?;
        Ok::<_, String>((source, paths.of(source, rest), alias.to_owned()))
    };
    let ((a, left, alias), (b, right, _)) = (end(left)?, end(right)?);
    match a == b {
        true => Err(format!("both sides refer to \"{alias}\"")),
        false => Ok(Join { ends: [(a, left), (b, right)] }),
    }
}

fn group_by(definition: &Object, paths: &Paths<'_>, issues: &mut Issues) -> Option<Vec<Place>> {
    let by = present(definition, "groupBy")?;
    let single = std::slice::from_ref(by);
    let list = match by {
        Json::Array(list) => list.as_slice(),
        _ => single,
    };
    let texts: Option<Vec<&str>> = list.iter().map(Json::as_str).collect();
    let Some(texts) = texts else {
        issues.add("\"groupBy\" must be a string or an array of strings");
        return None;
    };
    if texts.is_empty() {
        return None;
    }
    let mut places = Vec::new();
    for text in texts {
        match paths.place(text) {
            Ok(place) => places.push(place),
            Err(_) => issues.add(format!("groupBy: unknown source in \"{text}\"")),
        }
    }
    Some(places)
}

/// The paths of `groupBy` as they are shown.
pub(super) fn group_paths(definition: &Object) -> Vec<Json> {
    match present(definition, "groupBy") {
        None => Vec::new(),
        Some(Json::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    }
}

fn columns(
    definition: &Object,
    resolve: &dyn Fn(&str) -> Result<Place, String>,
    limits: ExprLimits,
    issues: &mut Issues,
) -> Vec<Column> {
    let select = definition.get("select").and_then(Json::as_object).filter(|o| !o.is_empty());
    let Some(select) = select else {
        issues.add("Missing or invalid \"select\": expected non-empty object");
        return Vec::new();
    };
    let mut columns: Vec<Column> = Vec::new();
    let mut first_aggregate = 0;
    for (name, column) in select.iter() {
        let expr = match column {
            // At the top a string is a path.
            Json::String(path) => resolve(path).map(Expr::reference),
            other => Expr::compile(other, limits, &Scope { resolve, aggregates: true }),
        };
        match expr {
            Ok(expr) => {
                let aggregates = expr.aggregates().len();
                columns.push(Column { name: name.into(), expr, first_aggregate });
                first_aggregate += aggregates;
            }
            Err(reason) => issues.add(format!("select.{name}: {reason}")),
        }
    }
    columns
}

fn order_by(
    definition: &Object,
    paths: &Paths<'_>,
    columns: &[Column],
    is_grouped: bool,
    issues: &mut Issues,
) -> Vec<(Key, bool)> {
    let list = match present(definition, "orderBy") {
        None => return Vec::new(),
        Some(Json::Array(list)) => list,
        Some(_) => {
            issues.add("\"orderBy\" must be an array");
            return Vec::new();
        }
    };
    // A column that is wrong is one all the same.
    let is_column = |name: &str| {
        definition.get("select").and_then(Json::as_object).is_some_and(|all| all.contains(name))
    };
    let mut order = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let Json::Object(entry) = entry else {
            issues.add(format!("orderBy[{at}]: expected object"));
            continue;
        };
        let descending = match present(entry, "direction").map(Json::as_str) {
            None | Some(Some("asc")) => Some(false),
            Some(Some("desc")) => Some(true),
            Some(_) => None,
        };
        let field = entry.get("field").and_then(Json::as_str).filter(|field| !field.is_empty());
        let wrong_direction = || format!("orderBy[{at}].direction: expected one of: asc, desc");
        let Some(field) = field else {
            issues.add(format!("orderBy[{at}].field: expected non-empty string"));
            if descending.is_none() {
                issues.add(wrong_direction());
            }
            continue;
        };
        let column = columns.iter().position(|column| *column.name == *field);
        let key = match column {
            Some(column) => Some(Key::Column(column)),
            None if is_column(field) => None,
            None => paths.place(field).ok().filter(|_| !is_grouped).map(Key::Path),
        };
        if descending.is_none() {
            issues.add(wrong_direction());
        }
        match key {
            Some(key) => order.push((key, descending.unwrap_or_default())),
            None if is_column(field) => {}
            None => issues.add(format!("orderBy[{at}].field: unknown column \"{field}\"")),
        }
    }
    order
}

pub(super) fn name(definition: &Object, issues: &mut Issues) -> Box<str> {
    required_text(definition, "name", issues)
}
