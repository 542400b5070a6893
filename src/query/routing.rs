//! From a change to the views that it can concern, without walking all of them.
//!
//! A view whose filter demands plain equality on some fields is filed under the
//! values it demands. Views that demand values of the same fields share one
//! table, so a change costs one look-up per such set of fields (there are as many
//! as kinds of queries, not as subscriptions), before and after. One that takes
//! one of a list is found through the list ([`super::lists`]), in the table of
//! what it demands besides. A view that demands a value within bounds
//! is found by searching the intervals of its field. One that searches for words
//! is filed under a word besides ([`super::leaf`]). Views that demand nothing see
//! every change of their bucket, and so do those whose demands are only one of
//! several ways to match (`$or`).

use std::collections::HashMap;

use super::ids::ViewId;
use super::intervals::{End, Intervals};
use super::leaf::{Leaf, Said, Word};
use super::lists::{Lists, Looking, OneOf, Sides};
use super::order::text_bytes;
use super::program::Dependencies;
use super::sum::ordered_bits;
use crate::json::{Kind, Raw};
use crate::store::filter::Wanted;
use crate::store::rows::MOST_SET_VALUES;
use crate::store::{Bounds, Bucket, BucketId, Change, FieldRef, Filter, Key, Row};

/// The views over one bucket.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    all: Vec<ViewId>,
    tables: Vec<Table>,
    ranges: Vec<Ranges>,
    lists: Vec<Lists>,
    /// Programs that read single records.
    records: HashMap<Key, Vec<ViewId>>,
}

#[derive(Debug)]
struct Table {
    /// Sorted by name. None for views that demand no value.
    fields: Vec<FieldRef>,
    views: HashMap<Box<str>, Leaf>,
}

/// Where a view is filed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Route {
    /// Concerned by every change.
    All,
    /// By changes of records with these values in these fields (if there are
    /// any), and with a word and one of a list of values, if it wants these.
    Values { fields: Vec<FieldRef>, values: Box<str>, word: Option<Word>, list: Option<OneOf> },
    /// By changes of records whose value in this field can be within bounds.
    Range { field: FieldRef, bounds: Bounds },
    /// By changes of this record.
    Record(Key),
}

/// Compiling a filter with a list, and filing the list.
const STEPS_PER_VALUE: u64 = 4;

impl Route {
    /// Where a view of a bucket with this filter is filed. `None`: no change
    /// concerns it.
    pub fn of(filter: &Filter, bucket: &Bucket) -> Option<Route> {
        let wanted = filter.wanted();
        let mut demands: Vec<(&FieldRef, &str)> = filter.all_equalities().collect();
        demands.sort_by(|a, b| a.0.name().cmp(b.0.name()));
        demands.dedup_by(|a, b| a.0.name() == b.0.name());
        let searches = wanted.iter().filter_map(|(field, wanted)| match wanted {
            Wanted::Words(search) => Some((*field, *search)),
            _ => None,
        });
        let word = Word::best(searches, bucket);
        let is_demanded =
            |field: &FieldRef| demands.iter().any(|(have, _)| have.name() == field.name());
        let lists = wanted.iter().filter_map(|(field, wanted)| match wanted {
            Wanted::OneOf(values) if values.len() <= MOST_SET_VALUES && !is_demanded(field) => {
                Some((*field, values.as_slice()))
            }
            _ => None,
        });
        // With a list of what somebody may read, also the views of many are told
        // apart who ask for the same.
        let is_open = demands.is_empty() && word.is_none();
        let list = lists.min_by_key(|(_, values)| values.len());
        let list = match list.filter(|_| is_open || filter.is_narrowed()) {
            Some((_, [])) => return None,
            Some((field, [value])) => {
                demands.push((field, *value));
                None
            }
            list => list.map(|(field, values)| OneOf::new(field, values)),
        };
        if !demands.is_empty() || word.is_some() || list.is_some() {
            return Some(Route::of_demands(demands, word, list));
        }
        let within = wanted.into_iter().find_map(|(field, wanted)| match wanted {
            Wanted::Within(bounds) => Some(Route::Range { field: field.clone(), bounds }),
            _ => None,
        });
        Some(within.unwrap_or(Route::All))
    }

    /// Under these values, each of another field.
    fn of_demands(
        mut demands: Vec<(&FieldRef, &str)>,
        word: Option<Word>,
        list: Option<OneOf>,
    ) -> Route {
        demands.sort_by(|a, b| a.0.name().cmp(b.0.name()));
        let fields = demands.iter().map(|(field, _)| (*field).clone()).collect();
        let values = demands.into_iter().map(|(_, value)| Some(value));
        Route::Values { fields, values: joined(values), word, list }
    }

    /// What it costs to file a view there, and to compile the list by which.
    pub fn steps(&self) -> u64 {
        match self {
            Route::Values { list: Some(list), .. } => {
                (list.len() as u64).saturating_mul(STEPS_PER_VALUE)
            }
            _ => 0,
        }
    }

    /// Where a program's view is filed.
    pub fn of_dependencies(dependencies: &Dependencies) -> Vec<(BucketId, Route)> {
        let buckets = dependencies.buckets.iter().map(|bucket| (*bucket, Route::All));
        let records = dependencies.records.iter();
        let records = records.filter(|(bucket, _)| !dependencies.buckets.contains(bucket));
        let records = records.map(|(bucket, key)| (*bucket, Route::Record(key.clone())));
        buckets.chain(records).collect()
    }

    /// The fields in which views are told apart.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (fields, word, list) = match self {
            Route::Values { fields, word, list, .. } => (fields.as_slice(), Some(word), Some(list)),
            Route::Range { field, .. } => (std::slice::from_ref(field), None, None),
            Route::All | Route::Record(_) => (Default::default(), None, None),
        };
        let listed = list.and_then(Option::as_ref).map(|list| &list.field);
        let searched = word.and_then(Option::as_ref).map(|word| &word.field);
        fields.iter().chain(listed).chain(searched).map(FieldRef::name)
    }
}

fn joined<'v>(values: impl Iterator<Item = Option<&'v str>>) -> Box<str> {
    let mut all = String::new();
    values.for_each(|value| append(&mut all, value));
    all.into()
}

/// Values in storage form contain no raw control characters.
fn append(values: &mut String, value: Option<&str>) {
    values.push_str(value.unwrap_or_default());
    values.push('\n');
}

impl Routes {
    /// The route keeps where it leads.
    pub fn insert(&mut self, route: &mut Route, view: ViewId) {
        match route {
            Route::All => self.all.push(view),
            Route::Record(key) => self.records.entry(key.clone()).or_default().push(view),
            Route::Range { field, bounds } => {
                let at = match self.ranges.iter().position(|range| range.field == *field) {
                    Some(at) => at,
                    None => {
                        self.ranges.push(Ranges::over(field.clone()));
                        self.ranges.len() - 1
                    }
                };
                if let Some(ranges) = self.ranges.get_mut(at) {
                    ranges.insert(bounds, view);
                }
            }
            Route::Values { fields, values, word, list } => {
                if let Some(list) = list {
                    if !self.lists.iter().any(|lists| lists.field() == &list.field) {
                        self.lists.push(Lists::over(list.field.clone()));
                    }
                    let mut over = self.lists.iter_mut();
                    if let Some(lists) = over.find(|lists| lists.field() == &list.field) {
                        lists.join(list);
                    }
                }
                let at = match self.tables.iter().position(|table| table.fields == *fields) {
                    Some(at) => at,
                    None => {
                        let views = HashMap::new();
                        self.tables.push(Table { fields: fields.clone(), views });
                        self.tables.len() - 1
                    }
                };
                if let Some(table) = self.tables.get_mut(at) {
                    let leaf = table.views.entry(values.clone()).or_default();
                    leaf.insert(word.as_ref(), list.as_ref(), view);
                }
            }
        }
    }

    pub fn remove(&mut self, route: &Route, view: ViewId) {
        match route {
            Route::All => self.all.retain(|have| *have != view),
            Route::Record(key) => {
                if let Some(views) = self.records.get_mut(key) {
                    views.retain(|have| *have != view);
                    if views.is_empty() {
                        self.records.remove(key);
                    }
                }
            }
            Route::Range { field, bounds } => {
                for ranges in self.ranges.iter_mut().filter(|ranges| ranges.field == *field) {
                    ranges.remove(bounds, view);
                }
                self.ranges.retain(|ranges| !ranges.views.is_empty());
            }
            Route::Values { fields, values, word, list } => {
                for table in self.tables.iter_mut().filter(|table| table.fields == *fields) {
                    if let Some(leaf) = table.views.get_mut(values) {
                        leaf.remove(word.as_ref(), list.as_ref(), view);
                        if leaf.is_empty() {
                            table.views.remove(values);
                        }
                    }
                }
                self.tables.retain(|table| !table.views.is_empty());
                if let Some(list) = list {
                    let mut over = self.lists.iter_mut();
                    if let Some(lists) = over.find(|lists| lists.field() == &list.field) {
                        lists.leave(list);
                    }
                    self.lists.retain(|lists| !lists.is_empty());
                }
            }
        }
    }

    /// Bytes of the lists that views are found through, about.
    pub fn memory(&self) -> usize {
        self.lists.iter().map(Lists::memory).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
            && self.tables.is_empty()
            && self.ranges.is_empty()
            && self.records.is_empty()
    }

    /// Calls `visit` with every view that the change can concern; with some of
    /// them twice.
    pub fn visit(&self, change: &Change, scratch: &mut String, mut visit: impl FnMut(ViewId)) {
        for view in &self.all {
            visit(*view);
        }
        if !self.records.is_empty() {
            self.records.get(&change.key).into_iter().flatten().copied().for_each(&mut visit);
        }
        let mut said = Said::default();
        let looking = Looking { change, lists: &self.lists };
        for table in &self.tables {
            let mut find = |row: &Option<Row>| table.find(row.as_ref()?, scratch);
            match (find(&change.old), find(&change.new)) {
                // An update that keeps the values leads to the same views.
                (Some(old), Some(new)) if std::ptr::eq(old, new) => {
                    new.visit(looking, Sides::Both, &mut said, &mut visit);
                }
                (old, new) => {
                    for (leaf, side) in [(old, Sides::Old), (new, Sides::New)] {
                        if let Some(leaf) = leaf {
                            leaf.visit(looking, side, &mut said, &mut visit);
                        }
                    }
                }
            }
        }
        for ranges in &self.ranges {
            ranges.visit(change, &mut visit);
        }
    }
}

/// The views that want a field within bounds. Numbers are looked for among
/// intervals of numbers and strings among intervals of strings; the few values
/// that compare in other ways lead to all of them.
#[derive(Debug)]
struct Ranges {
    field: FieldRef,
    numbers: Intervals<u64, ViewId>,
    texts: Intervals<Text, ViewId>,
    views: Vec<ViewId>,
}

/// A string as bytes that sort like it.
type Text = Box<[u8]>;

/// The ends of the intervals of some bounds.
struct Ends {
    numbers: Option<(End<u64>, End<u64>)>,
    texts: (End<Text>, End<Text>),
}

impl Ends {
    fn of(bounds: &Bounds) -> Ends {
        let number = |end: Option<f64>, open| end.map_or(open, |end| End::At(ordered_bits(end)));
        let text = |end: Option<&str>, open| end.map_or(open, |end| End::At(text_bytes(end)));
        let (low, high) = bounds.texts();
        Ends {
            numbers: bounds
                .numbers()
                .map(|(low, high)| (number(low, End::BelowAll), number(high, End::AboveAll))),
            texts: (text(low, End::BelowAll), text(high, End::AboveAll)),
        }
    }
}

impl Ranges {
    fn over(field: FieldRef) -> Self {
        let (numbers, texts) = (Intervals::default(), Intervals::default());
        Ranges { field, numbers, texts, views: Vec::new() }
    }

    fn insert(&mut self, bounds: &Bounds, view: ViewId) {
        let ends = Ends::of(bounds);
        if let Some((low, high)) = ends.numbers {
            self.numbers.insert(low, high, view);
        }
        self.texts.insert(ends.texts.0, ends.texts.1, view);
        self.views.push(view);
    }

    fn remove(&mut self, bounds: &Bounds, view: ViewId) {
        let ends = Ends::of(bounds);
        if let Some((low, _)) = &ends.numbers {
            self.numbers.remove(low, view);
        }
        self.texts.remove(&ends.texts.0, view);
        if let Some(at) = self.views.iter().position(|have| *have == view) {
            self.views.swap_remove(at);
        }
    }

    fn visit(&self, change: &Change, visit: &mut impl FnMut(ViewId)) {
        let mut before = None;
        for row in [&change.old, &change.new].into_iter().flatten() {
            let Some(value) = row.field(&self.field) else { continue };
            // An update that keeps the value leads to the same views.
            if before.replace(value.text()) == Some(value.text()) {
                continue;
            }
            match value.kind() {
                Kind::Null => {}
                Kind::Number => {
                    let number = ordered_bits(value.as_number().unwrap_or(f64::NAN));
                    self.numbers.stab(&number, visit);
                }
                Kind::String => {
                    let text = text_bytes(&value.as_str().unwrap_or_default());
                    self.texts.stab(&text, visit);
                }
                Kind::Bool | Kind::Array | Kind::Object => {
                    self.views.iter().copied().for_each(&mut *visit);
                }
            }
        }
    }
}

impl Table {
    fn find(&self, row: &Row, scratch: &mut String) -> Option<&Leaf> {
        scratch.clear();
        for field in &self.fields {
            append(scratch, row.field(field).map(Raw::text));
        }
        self.views.get(scratch.as_str())
    }
}
