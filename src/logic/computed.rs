//! Computed fields: values of a record that follow from its others.

use std::collections::HashMap;

use super::expr::{Cx, Expr, ExprLimits, Place, Record, Scope, Source};
use super::issues::{Issues, present};
use crate::json::{Json, Object};
use crate::store::{Bucket, FieldRef, Layout, Row, RowBuilder, WriteCx};

/// The computed fields of one bucket.
#[derive(Debug)]
pub(crate) struct Computed {
    /// As it is listed.
    definition: Object,
    /// Every field behind those that it depends on.
    fields: Vec<Field>,
    places: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Field {
    name: Box<str>,
    field: FieldRef,
    expr: Expr,
    /// What it depends on, whether or not its expression mentions it.
    depends: Vec<Place>,
}

impl Computed {
    /// # Errors
    /// Everything that is wrong with the definition.
    pub fn parse(bucket: &Bucket, fields: &Object, limits: ExprLimits) -> Result<Self, Issues> {
        let mut issues = Issues::default();
        if fields.is_empty() {
            issues.add("\"fields\" must contain at least one field");
        }
        let mut definition = Object::new();
        for (name, field) in fields.iter() {
            if let Some(field) = check_field(bucket, name, field, limits, &mut issues) {
                definition.insert(name, Json::Object(field));
            }
        }
        let order = match order(&definition) {
            Ok(order) => order,
            Err(cycle) => {
                issues.add(format!("fields: circular dependency: {}", cycle.join(" -> ")));
                Vec::new()
            }
        };
        if !issues.is_empty() {
            return Err(issues);
        }
        let places = order.iter().enumerate().map(|(at, name)| ((*name).into(), at)).collect();
        let mut computed = Computed { fields: Vec::new(), places, definition: Object::new() };
        for name in order {
            let Some(field) = definition.get(name) else { continue };
            match computed.compile(bucket, name, field, limits) {
                Ok(field) => computed.fields.push(field),
                Err(reason) => issues.add(format!("fields.{name}.expr: {reason}")),
            }
        }
        computed.definition = definition;
        if issues.is_empty() { Ok(computed) } else { Err(issues) }
    }

    fn compile(
        &self,
        bucket: &Bucket,
        name: &str,
        field: &Json,
        limits: ExprLimits,
    ) -> Result<Field, String> {
        let resolve = |path: &str| Ok(self.place(path, bucket.layout()));
        let scope = Scope { resolve: &resolve, aggregates: false };
        let expr = Expr::compile(field.get("expr").unwrap_or(&Json::Null), limits, &scope)?;
        let mut depends: Vec<Place> =
            depends_of(field).map(|path| self.place(path, bucket.layout())).collect();
        expr.each_place(&mut |place| depends.push(place.clone()));
        Ok(Field { name: name.into(), field: bucket.layout().field(name), expr, depends })
    }

    /// Where a path leads: to another computed value, or into the record.
    fn place(&self, path: &str, layout: &Layout) -> Place {
        let mut place = Place::of(0, path, layout);
        let first = path.split('.').next().unwrap_or_default();
        if let Some(at) = self.places.get(first) {
            place.source = Source::Computed(*at);
        }
        place
    }

    pub fn definition(&self) -> &Object {
        &self.definition
    }

    pub fn contains(&self, field: &str) -> bool {
        self.places.contains_key(field)
    }

    /// The record with its computed values. `old`: as it was before an update.
    pub fn apply(&self, layout: &Layout, row: Row, old: Option<&Row>, cx: WriteCx<'_>) -> Row {
        let mut values: Vec<Json> = Vec::with_capacity(self.fields.len());
        let mut renewed = vec![false; self.fields.len()];
        for (field, renewed) in self.fields.iter().zip(&mut renewed) {
            let stored = row.field(&field.field);
            let kept = stored.filter(|_| {
                old.is_some_and(|old| {
                    !field
                        .depends
                        .iter()
                        .any(|place| self.has_changed(place, old, &row, &values, cx))
                })
            });
            let value = match kept {
                Some(stored) => stored.to_json(),
                None => {
                    *renewed = true;
                    let records = [Record::Row(&row)];
                    field.expr.evaluate(&context(&records, &values, cx)).to_json()
                }
            };
            values.push(value);
        }
        if !renewed.contains(&true) {
            return row;
        }
        let mut out = RowBuilder::new(layout);
        let mut met = vec![false; self.fields.len()];
        for (name, value) in row.raw().members() {
            let at = self.places.get(&*name).copied();
            let new = at.filter(|at| renewed.get(*at) == Some(&true));
            match new.and_then(|at| values.get(at)) {
                Some(value) => out.json(&name, value),
                None => out.raw(&name, value, row.has_non_finite()),
            }
            if let Some(met) = at.and_then(|at| met.get_mut(at)) {
                *met = true;
            }
        }
        for ((field, value), met) in self.fields.iter().zip(&values).zip(met) {
            if !met {
                out.json(&field.name, value);
            }
        }
        out.finish()
    }

    /// Whether a dependency has another value than before.
    fn has_changed(
        &self,
        place: &Place,
        old: &Row,
        new: &Row,
        values: &[Json],
        cx: WriteCx<'_>,
    ) -> bool {
        let (before, now) = ([Record::Row(old)], [Record::Row(new)]);
        let now = place.read(&context(&now, values, cx));
        let computed = match place.source {
            Source::Computed(at) => self.fields.get(at),
            Source::Record(_) => None,
        };
        // What is computed was an ordinary field of the old record.
        let stored;
        let place = match computed {
            Some(field) => {
                stored = Place {
                    source: Source::Record(0),
                    field: Some(field.field.clone()),
                    rest: place.rest.clone(),
                };
                &stored
            }
            None => place,
        };
        !place.read(&context(&before, &[], cx)).equals(&now)
    }
}

fn context<'a>(records: &'a [Record<'a>], computed: &'a [Json], cx: WriteCx<'a>) -> Cx<'a> {
    Cx { records, computed, aggregates: &[], now: cx.now, budget: cx.budget }
}

fn depends_of(field: &Json) -> impl Iterator<Item = &str> {
    field
        .get("depends")
        .and_then(Json::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(Json::as_str)
}

/// The members of one field that are kept, if they make sense.
fn check_field(
    bucket: &Bucket,
    name: &str,
    field: &Json,
    limits: ExprLimits,
    issues: &mut Issues,
) -> Option<Object> {
    let mut kept = Object::new();
    match field.as_object() {
        None => issues.add(format!("fields.{name}: expected object")),
        Some(field) => {
            let texts = field.get("depends").and_then(Json::as_array).filter(|list| {
                list.iter().all(|path| path.as_str().is_some_and(|path| !path.is_empty()))
            });
            match texts {
                Some(list) => drop(kept.insert("depends", Json::Array(list.to_vec()))),
                None => issues
                    .add(format!("fields.{name}.depends: expected array of non-empty strings")),
            }
            let resolve = |path: &str| Ok(Place::of(0, path, bucket.layout()));
            let scope = Scope { resolve: &resolve, aggregates: false };
            let compiled = match field.get("expr") {
                Some(expr) => Expr::compile(expr, limits, &scope).map(|_| expr),
                None => Err("expected expression".into()),
            };
            match compiled {
                Ok(expr) => drop(kept.insert("expr", expr.clone())),
                Err(reason) => issues.add(format!("fields.{name}.expr: {reason}")),
            }
        }
    }
    if name == bucket.key_field() {
        issues.add(format!("fields.{name}: cannot compute the key field"));
    }
    if bucket.definition().field(name).is_some_and(|field| field.generated.is_some()) {
        issues.add(format!("fields.{name}: cannot compute a generated field"));
    }
    if name.starts_with(['_', '$']) || name.contains('.') {
        issues.add(format!(
            "fields.{name}: name must not start with \"_\" or \"$\" or contain \".\""
        ));
    }
    Some(kept).filter(|kept| present(kept, "depends").is_some() && kept.contains("expr"))
}

/// The fields, every one behind those that it depends on; or a cycle.
fn order(definition: &Object) -> Result<Vec<&str>, Vec<&str>> {
    let names: Vec<&str> = definition.keys().collect();
    let places: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let edges: Vec<Vec<usize>> = definition
        .values()
        .map(|field| {
            let mut paths: Vec<Box<str>> = depends_of(field).map(Box::from).collect();
            references(field.get("expr"), &mut paths);
            let first = |path: &str| places.get(path.split('.').next()?).copied();
            paths.iter().filter_map(|path| first(path)).collect()
        })
        .collect();
    const UNSEEN: u8 = 0;
    const ON_PATH: u8 = 1;
    const DONE: u8 = 2;
    let (mut order, mut state) = (Vec::new(), vec![UNSEEN; names.len()]);
    for root in 0..names.len() {
        // Depth first with a stack of its own: a chain may be long.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state.get(root) == Some(&UNSEEN) {
            path.push((root, 0));
        }
        while let Some((at, next)) = path.last_mut() {
            let here = *at;
            let edge = edges.get(here).and_then(|edges| edges.get(*next)).copied();
            *next += 1;
            let mut mark = |at: usize, value| {
                state.get_mut(at).map(|state| std::mem::replace(state, value)).unwrap_or(DONE)
            };
            mark(here, ON_PATH);
            let Some(to) = edge else {
                mark(here, DONE);
                path.pop();
                order.extend(names.get(here));
                continue;
            };
            match state.get(to) {
                Some(&ON_PATH) => {
                    let cycle = path.iter().map(|(on, _)| *on).skip_while(|on| *on != to);
                    let name = |at: usize| names.get(at).copied().unwrap_or_default();
                    return Err(cycle.chain([to]).map(name).collect());
                }
                Some(&UNSEEN) => path.push((to, 0)),
                _ => {}
            }
        }
    }
    Ok(order)
}

/// The paths of all references in an expression that was checked.
fn references(expr: Option<&Json>, paths: &mut Vec<Box<str>>) {
    let layout = Layout::default();
    let found = std::cell::RefCell::new(Vec::new());
    let resolve = |path: &str| {
        found.borrow_mut().push(Box::from(path));
        Ok(Place::of(0, path, &layout))
    };
    let limits = ExprLimits { depth: usize::MAX, nodes: usize::MAX };
    let scope = Scope { resolve: &resolve, aggregates: false };
    if let Some(expr) = expr {
        // It was checked: only the references are of interest.
        drop(Expr::compile(expr, limits, &scope));
    }
    paths.append(&mut found.borrow_mut());
}
