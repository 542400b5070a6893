//! Constraints: conditions on records, and on groups of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::expr::{Cx, Expr, ExprLimits, Place, Record, Scope};
use super::issues::{Issues, present, required_text};
use super::totals::{Parts, Totals, group_key, parts_of};
use crate::budget::{Budget, OverBudget};
use crate::json::{Json, Object};
use crate::store::{Bucket, Change, Effect, Layout, Row, WriteCx, WriteKind};

/// The members of a definition that are kept.
const MEMBERS: [&str; 7] = ["name", "on", "expr", "message", "scope", "groupBy", "operations"];

/// A definition that makes sense by itself.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub name: Box<str>,
    pub on: Box<str>,
    definition: Object,
}

#[derive(Debug)]
pub(super) struct Constraint {
    pub name: Box<str>,
    /// As it is listed.
    pub definition: Object,
    pub message: Box<str>,
    pub group: Option<Groups>,
    expr: Expr,
    operations: [bool; 3],
}

/// The groups of a bucket, followed from commit to commit.
#[derive(Debug)]
pub(super) struct Groups {
    by: Option<Place>,
    state: Mutex<HashMap<Box<str>, Group>>,
}

#[derive(Debug)]
struct Group {
    members: BTreeMap<u64, Parts>,
    totals: Totals,
}

fn kind_of(name: &str) -> Option<WriteKind> {
    Some(match name {
        "insert" => WriteKind::Insert,
        "update" => WriteKind::Update,
        "delete" => WriteKind::Delete,
        _ => return None,
    })
}

impl Draft {
    /// # Errors
    /// Everything that is wrong with the definition.
    pub fn parse(definition: &Object, limits: ExprLimits) -> Result<Draft, Issues> {
        let mut issues = Issues::default();
        let name = required_text(definition, "name", &mut issues);
        let on = required_text(definition, "on", &mut issues);
        let scope = present(definition, "scope");
        let is_group = scope.and_then(Json::as_str) == Some("group");
        let compiled = match definition.get("expr") {
            None => Err("expected expression".into()),
            Some(expr) => compile(expr, limits, &Layout::default(), is_group).map(|_| ()),
        };
        if let Err(reason) = compiled {
            issues.add(format!("expr: {reason}"));
        }
        required_text(definition, "message", &mut issues);
        if scope.is_some_and(|scope| !matches!(scope.as_str(), Some("record" | "group"))) {
            issues.add("\"scope\" must be one of: record, group");
        }
        let text = |value: &Json| value.as_str().is_some_and(|text| !text.is_empty());
        if present(definition, "groupBy").is_some_and(|by| !text(by)) {
            issues.add("\"groupBy\" must be a non-empty string");
        }
        let list = |value: &Json| {
            value.as_array().is_some_and(|list| {
                !list.is_empty()
                    && list.iter().all(|name| name.as_str().and_then(kind_of).is_some())
            })
        };
        if present(definition, "operations").is_some_and(|operations| !list(operations)) {
            issues.add("\"operations\" must be a non-empty array of: insert, update, delete");
        }
        if !issues.is_empty() {
            return Err(issues);
        }
        let kept = MEMBERS.iter().filter_map(|name| {
            let value =
                if *name == "expr" { definition.get(name) } else { present(definition, name) };
            Some((*name, value?.clone()))
        });
        Ok(Draft { name, on, definition: kept.collect() })
    }

    pub fn definition(&self) -> &Object {
        &self.definition
    }
}

fn compile(
    expr: &Json,
    limits: ExprLimits,
    layout: &Layout,
    is_group: bool,
) -> Result<Expr, String> {
    let resolve = |path: &str| Ok(Place::of(0, path, layout));
    Expr::compile(expr, limits, &Scope { resolve: &resolve, aggregates: is_group })
}

impl Constraint {
    /// Binds a definition to the bucket that it is on, whose groups are added
    /// up.
    ///
    /// # Errors
    /// Where the budget does not suffice for that.
    pub fn new(
        draft: Draft,
        bucket: &Bucket,
        limits: ExprLimits,
        cx: WriteCx<'_>,
    ) -> Result<Constraint, OverBudget> {
        let Draft { name, definition, .. } = draft;
        let text = |name: &str| definition.get(name).and_then(Json::as_str);
        let is_group = text("scope") == Some("group");
        let by = text("groupBy").map(|path| Place::of(0, path, bucket.layout()));
        let expr = definition.get("expr").unwrap_or(&Json::Null);
        // It was compiled before, without a layout.
        let expr = compile(expr, limits, bucket.layout(), is_group)
            .unwrap_or_else(|_| Expr::reference(Place::of(0, "", bucket.layout())));
        let mut operations = [true, true, false];
        if let Some(list) = definition.get("operations").and_then(Json::as_array) {
            let has = |name: &str| list.iter().any(|have| have.as_str() == Some(name));
            operations = [has("insert"), has("update"), has("delete")];
        }
        let message = text("message").unwrap_or_default().into();
        let group = is_group.then(|| Groups { by, state: Mutex::default() });
        let constraint = Constraint { name, message, group, expr, operations, definition };
        for (place, row) in bucket.iter() {
            cx.budget.spend(1)?;
            constraint.enter(place, row, cx);
        }
        Ok(constraint)
    }

    pub fn asks(&self, kind: WriteKind) -> bool {
        let [insert, update, delete] = self.operations;
        match kind {
            WriteKind::Insert => insert,
            WriteKind::Update => update,
            WriteKind::Delete => delete,
        }
    }

    /// Whether a record fulfils it.
    pub fn holds(&self, row: &Row, cx: WriteCx<'_>) -> bool {
        self.is_true(row, &[], cx)
    }

    fn is_true(&self, row: &Row, aggregates: &[Json], cx: WriteCx<'_>) -> bool {
        let records = [Record::Row(row)];
        self.expr.evaluate(&context(&records, aggregates, cx)).is_true()
    }

    fn state(&self) -> Option<MutexGuard<'_, HashMap<Box<str>, Group>>> {
        let groups = self.group.as_ref()?;
        Some(groups.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn group_of(&self, row: &Row, cx: WriteCx<'_>) -> Box<str> {
        let records = [Record::Row(row)];
        match self.group.as_ref().and_then(|groups| groups.by.as_ref()) {
            Some(by) => group_key(&by.read(&context(&records, &[], cx))),
            None => "".into(),
        }
    }

    fn enter(&self, place: u64, row: &Row, cx: WriteCx<'_>) {
        if let Some(mut groups) = self.state() {
            self.enter_in(&mut groups, place, row, cx);
        }
    }

    fn enter_in(
        &self,
        groups: &mut HashMap<Box<str>, Group>,
        place: u64,
        row: &Row,
        cx: WriteCx<'_>,
    ) -> Box<str> {
        let key = self.group_of(row, cx);
        let records = [Record::Row(row)];
        let parts = parts_of(self.expr.aggregates().iter(), &context(&records, &[], cx));
        let group = groups.entry(key.clone()).or_insert_with(|| Group {
            members: BTreeMap::new(),
            totals: Totals::new(
                self.expr.aggregates().iter().map(|aggregate| aggregate.function),
                true,
            ),
        });
        group.totals.add(place, &parts);
        group.members.insert(place, parts);
        key
    }

    /// Takes a member out, with the parts it came with.
    fn leave_in(
        &self,
        groups: &mut HashMap<Box<str>, Group>,
        place: u64,
        row: &Row,
        cx: WriteCx<'_>,
    ) -> (Box<str>, Option<Parts>) {
        let key = self.group_of(row, cx);
        let Some(group) = groups.get_mut(&key) else { return (key, None) };
        let parts = group.members.remove(&place);
        if let Some(parts) = &parts {
            group.totals.remove(place, parts);
        }
        if group.members.is_empty() {
            groups.remove(&key);
        }
        (key, parts)
    }

    /// Whether all groups that these effects touch fulfil it afterwards. What
    /// is done to the groups for that is undone again.
    pub fn holds_after(&self, effects: &[Effect<'_>], cx: WriteCx<'_>) -> bool {
        let Some(mut groups) = self.state() else { return true };
        let mut touched: Vec<(Box<str>, &Row)> = Vec::new();
        for effect in effects {
            let left =
                effect.old.map(|old| self.leave_in(&mut groups, effect.old_place, old, cx).0);
            let entered =
                effect.new.map(|new| self.enter_in(&mut groups, effect.new_place, new, cx));
            let Some(row) = effect.new.or(effect.old) else { continue };
            if !(effect.is_checked && self.asks(effect.kind)) {
                continue;
            }
            // What was written may have left one group for another.
            let left = left.filter(|left| entered.as_ref() != Some(left));
            touched.extend(left.into_iter().chain(entered).map(|key| (key, row)));
        }
        let holds = touched.iter().all(|(key, row)| {
            let Some(group) = groups.get_mut(key) else { return true };
            let Group { members, totals } = group;
            let values = totals.values(|| {
                // A sum that is added up anew looks at all members.
                let _ = cx.budget.spend(members.len() as u64);
                members.values()
            });
            self.is_true(row, &values, cx)
        });
        for effect in effects.iter().rev() {
            if let Some(new) = effect.new {
                self.leave_in(&mut groups, effect.new_place, new, cx);
            }
            if let Some(old) = effect.old {
                self.enter_in(&mut groups, effect.old_place, old, cx);
            }
        }
        holds
    }

    /// A commit has changed a record.
    pub fn follow(&self, change: &Change, cx: WriteCx<'_>) {
        let Some(mut groups) = self.state() else { return };
        if let Some(old) = &change.old {
            self.leave_in(&mut groups, change.old_order, old, cx);
        }
        if let Some(new) = &change.new {
            self.enter_in(&mut groups, change.new_order, new, cx);
        }
    }

    /// A commit has emptied the bucket.
    pub fn cleared(&self) {
        if let Some(mut groups) = self.state() {
            groups.clear();
        }
    }
}

fn context<'a>(records: &'a [Record<'a>], aggregates: &'a [Json], cx: WriteCx<'a>) -> Cx<'a> {
    Cx { records, computed: &[], aggregates, now: cx.now, budget: cx.budget }
}

/// The budget of what must be done whatever it costs.
pub(super) fn upkeep() -> Budget {
    Budget::unlimited()
}
