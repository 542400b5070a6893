//! Aggregates by group, maintained.
//!
//! Groups stand in the order of their first members, and show the values of the
//! first member (members of one group can differ: `1` and `"1"`, null and
//! absent). So every group keeps the places of its members in order, and a
//! change touches the group it left and the group it entered.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::list::{List, ListChange, Op, Window};
use super::piece::{GroupText, Piece, Projection};
use super::span::Spans;
use super::sum::NeedsColumn;
use super::value::{Accumulator, Measure, Member, MemberChange};
use crate::json::js::string_of;
use crate::json::{Raw, write_number, write_string};
use crate::store::{FieldRef, Layout, Row};

/// The fields by which records are grouped.
#[derive(Clone, Debug)]
pub(crate) struct GroupBy {
    /// Each with its name as a JSON string and a colon; empty where the same
    /// name came before, which is one member of the key.
    fields: Vec<(Box<str>, FieldRef)>,
}

impl GroupBy {
    pub fn new(layout: &Layout, names: &[Box<str>]) -> Self {
        let mut seen: HashSet<&str> = HashSet::new();
        let fields = names.iter().map(|name| {
            if !seen.insert(name) {
                return (Box::default(), layout.field(name));
            }
            let mut text = Vec::with_capacity(name.len() + 3);
            write_string(&mut text, name);
            text.push(b':');
            (String::from_utf8(text).unwrap_or_default().into(), layout.field(name))
        });
        GroupBy { fields: fields.collect() }
    }

    /// JSON array of the String() of the values: the identity of the group.
    pub fn identity(&self, row: &Row) -> String {
        let mut out = vec![b'['];
        for (at, (_, field)) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match row.field(field) {
                None => out.extend_from_slice(b"\"null\""),
                Some(value) => write_string(&mut out, &string_of(value)),
            }
        }
        out.push(b']');
        String::from_utf8(out).unwrap_or_default()
    }

    /// The `key` of a group whose first member is this row.
    pub fn key(&self, row: &Row) -> Box<str> {
        let mut out = Vec::with_capacity(32);
        for (name, field) in &self.fields {
            if let Some(value) = row.field(field)
                && !name.is_empty()
            {
                out.push(if out.is_empty() { b'{' } else { b',' });
                out.extend_from_slice(name.as_bytes());
                if row.has_non_finite() {
                    value.to_json().write(&mut out);
                } else {
                    out.extend_from_slice(value.text().as_bytes());
                }
            }
        }
        out.extend_from_slice(if out.is_empty() { b"{}" } else { b"}" });
        String::from_utf8(out).unwrap_or_default().into()
    }

    /// Whether two rows have the very same values in these fields.
    fn same(&self, a: &Row, b: &Row) -> bool {
        let text = |row, field| Row::field(row, field).map(Raw::text);
        self.fields.iter().all(|(_, field)| text(a, field) == text(b, field))
    }
}

/// The text of a group.
pub(crate) fn group_text(key: &str, value: Option<f64>) -> Box<str> {
    let mut out = Vec::with_capacity(key.len() + 32);
    out.extend_from_slice(b"{\"key\":");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b",\"value\":");
    // Unlike a view that is one number, a group never has no value.
    write_number(&mut out, value.unwrap_or(0.0));
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default().into()
}

#[derive(Debug)]
struct Group {
    identity: Arc<str>,
    /// The `key` of all members but those in `others`.
    key: Box<str>,
    others: BTreeMap<u64, Box<str>>,
    members: BTreeSet<u64>,
    accumulator: Accumulator,
    /// The place under which the list has it.
    listed: Option<u64>,
    touched: bool,
}

/// A view that is a list of groups.
#[derive(Debug)]
pub(crate) struct GroupsForm {
    by: GroupBy,
    measure: Measure,
    groups: HashMap<Arc<str>, Group>,
    list: List<u64>,
    /// Records in all groups.
    members: usize,
    touched: Vec<Arc<str>>,
}

impl GroupsForm {
    pub fn new<'r>(
        by: GroupBy,
        measure: Measure,
        members: impl Iterator<Item = Member<'r>> + Clone,
        projection: &Projection,
    ) -> Self {
        let list = List::new(Window::new(0, None), 0, Vec::new(), projection);
        let groups = HashMap::new();
        let mut form = GroupsForm { by, measure, groups, list, members: 0, touched: Vec::new() };
        let add = |member| MemberChange { old: None, new: Some(member) };
        if form.collect(members.clone().map(add)).is_err() {
            form.groups.clear();
            form.touched.clear();
            form.members = 0;
            form.measure.columns = true;
            // Columns take every value.
            let _ = form.collect(members.map(add));
        }
        form.update_list(projection);
        form
    }

    pub fn apply(
        &mut self,
        changes: &[MemberChange<'_>],
        projection: &Projection,
    ) -> Result<Option<ListChange>, NeedsColumn> {
        self.collect(changes.iter().copied())?;
        Ok(self.update_list(projection))
    }

    pub fn window(&self) -> impl Iterator<Item = &Piece> {
        self.list.window()
    }

    pub fn rows(&self) -> usize {
        self.list.rows()
    }

    pub fn text_len(&self) -> usize {
        self.list.text_len()
    }

    pub fn memory(&self) -> usize {
        let group = size_of::<Group>() + 160;
        let accumulators: usize = self.groups.values().map(|g| g.accumulator.memory()).sum();
        self.list.memory() + self.groups.len() * group + self.members * 16 + accumulators
    }

    fn collect<'r>(
        &mut self,
        changes: impl Iterator<Item = MemberChange<'r>>,
    ) -> Result<(), NeedsColumn> {
        for change in changes {
            let MemberChange { old, new } = change;
            if let (Some(was), Some(is)) = (old, new)
                && was.place == is.place
                && self.by.same(was.row, is.row)
            {
                // The same group, and the same place in it.
                let identity = self.by.identity(is.row);
                self.touch(identity, is.row).accumulate(change)?;
                continue;
            }
            if let Some(was) = old {
                let identity = self.by.identity(was.row);
                let mut group = self.touch(identity, was.row);
                group.leave(was.place);
                group.accumulate(MemberChange { old, new: None })?;
                self.members = self.members.saturating_sub(1);
            }
            if let Some(is) = new {
                let identity = self.by.identity(is.row);
                let key = self.by.key(is.row);
                let mut group = self.touch(identity, is.row);
                group.enter(is.place, key);
                group.accumulate(MemberChange { old: None, new })?;
                self.members += 1;
            }
        }
        Ok(())
    }

    fn touch(&mut self, identity: String, row: &Row) -> Touched<'_> {
        let GroupsForm { by, measure, groups, touched, .. } = self;
        let identity: Arc<str> = identity.into();
        let group = groups.entry(identity).or_insert_with_key(|identity| Group {
            identity: identity.clone(),
            key: by.key(row),
            others: BTreeMap::new(),
            members: BTreeSet::new(),
            accumulator: measure.accumulator(),
            listed: None,
            touched: false,
        });
        if !group.touched {
            group.touched = true;
            touched.push(group.identity.clone());
        }
        Touched { group, measure }
    }

    /// Brings the list up to date with the groups that were touched.
    fn update_list(&mut self, projection: &Projection) -> Option<ListChange> {
        let mut ops = Vec::with_capacity(self.touched.len());
        for identity in std::mem::take(&mut self.touched) {
            let Some(group) = self.groups.get_mut(&identity) else { continue };
            group.touched = false;
            let old = group.listed.take();
            let first = group.members.first().copied();
            let new = first.map(|first| {
                let key = group.others.get(&first).unwrap_or(&group.key);
                let text = group_text(key, group.accumulator.value(self.measure.function));
                (first, Piece::Group(Arc::new(GroupText { identity: identity.clone(), text })))
            });
            group.listed = first;
            if first.is_none() {
                self.groups.remove(&identity);
            }
            if old.is_some() || new.is_some() {
                ops.push(Op { old, new });
            }
        }
        // Nobody looks at groups through a window.
        let change = self.list.apply(ops, projection, &Spans::default(), &mut |_| Vec::new());
        change.map(|(change, _)| change)
    }
}

struct Touched<'g> {
    group: &'g mut Group,
    measure: &'g Measure,
}

impl Touched<'_> {
    fn accumulate(&mut self, change: MemberChange<'_>) -> Result<(), NeedsColumn> {
        self.group.accumulator.change(self.measure, change)
    }

    fn enter(&mut self, place: u64, key: Box<str>) {
        if self.group.members.is_empty() {
            self.group.key = key;
        } else if self.group.key != key {
            self.group.others.insert(place, key);
        }
        self.group.members.insert(place);
    }

    fn leave(&mut self, place: u64) {
        self.group.members.remove(&place);
        self.group.others.remove(&place);
    }
}
