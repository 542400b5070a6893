//! Declarative queries that are asked once, with a name or without one.

use std::sync::Arc;

use super::definition::Definition;
use super::entry::{Source, not_a_query};
use super::form::first_sorted;
use super::ids::QueryId;
use super::ids::ViewId;
use super::list::{Window, write_list};
use super::order::{SortSpec, sort_like_reference};
use super::params::{Params, Template};
use super::piece::Piece;
use super::plan::{Evaluated, Plan};
use super::program::ProgramView;
use super::registry::Name;
use super::value::Member;
use super::view::Want;
use super::views::Views;
use crate::budget::Budget;
use crate::json::{Json, Object, Raw, write_number};
use crate::protocol::{ErrorCode, OpError, bounds};
use crate::store::{Bucket, Draft, Filter, InOrder, Row, Store};

/// The members of a query, in the order that makes equal queries equal texts.
const MEMBERS: [&str; 7] = ["bucket", "filter", "sort", "limit", "offset", "fields", "aggregate"];

/// A query without a name. It has no parameters: its filter is what it says.
#[derive(Clone, Debug)]
pub(crate) struct AdHoc {
    pub(super) definition: Definition,
}

impl AdHoc {
    /// Checks everything but the filter, which needs the bucket.
    pub fn parse(member: impl Fn(&str) -> Option<Json>) -> Result<AdHoc, OpError> {
        let given = |name: &str| member(name).filter(|value| !value.is_null());
        let config: Object =
            MEMBERS.into_iter().filter_map(|name| Some((name, given(name)?))).collect();
        let config = Json::Object(config);
        let mut definition = Definition::parse(&config).map_err(|reason| invalid(&reason))?;
        let filter = config.get("filter").cloned().unwrap_or_else(|| Json::Object(Object::new()));
        definition.filter = Template::literal(filter);
        Ok(AdHoc { definition })
    }

    /// The grouping of a query by its own members: `store.groupBy`.
    pub fn grouping(
        field: Json,
        aggregate: Json,
        rest: impl Fn(&str) -> Option<Json>,
    ) -> Result<AdHoc, OpError> {
        let aggregate = match aggregate {
            Json::Object(mut members) => {
                members.insert("groupBy", field);
                Json::Object(members)
            }
            other => other,
        };
        AdHoc::parse(|name| match name {
            "aggregate" => Some(aggregate.clone()),
            "bucket" | "filter" => rest(name),
            _ => None,
        })
    }

    /// Whether the result is rows.
    pub fn is_of_rows(&self) -> bool {
        self.definition.aggregate.is_none()
    }

    /// Whether results have positions unless asked otherwise.
    pub fn is_sorted(&self) -> bool {
        !self.definition.sort.is_empty()
    }

    fn plan(
        &self,
        bucket: &Bucket,
        read: Option<&Arc<Filter>>,
        (budget, text_bytes): (&Budget, usize),
    ) -> Result<Plan, OpError> {
        let plan = Plan::new(bucket, &self.definition, &Params::default(), None, budget);
        let mut plan = plan.map_err(of_query)?;
        if let Some(read) = read {
            plan.narrow(bucket, read);
        }
        bounds::check_conditions(plan.filter.conditions())?;
        plan.projection.text_bytes = text_bytes;
        Ok(plan)
    }

    /// Appends the result over what a bucket shows; `read`: to whom not all is
    /// shown.
    pub fn answer(
        &self,
        bucket: &Bucket,
        read: Option<&Arc<Filter>>,
        asking: (&Budget, usize),
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let plan = self.plan(bucket, read, asking)?;
        answer(&plan, bucket, out)
    }

    /// The same over what a transaction sees.
    pub fn answer_in(
        &self,
        draft: &Draft,
        (store, bucket): (&Store, &Bucket),
        (budget, text_bytes): (&Budget, usize),
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        // The draft shows what may be seen.
        let plan = self.plan(bucket, None, (budget, text_bytes))?;
        let is_in_order = plan.sort.is_none() && plan.aggregate.is_none();
        let most = if is_in_order { plan.window.end() } else { usize::MAX };
        let rows: Vec<Row> = draft.find(store, bucket.id(), Some(&plan.filter), most);
        budget.check()?;
        let members = rows.iter().enumerate();
        let members = members.map(|(at, row)| plan.look(Member { place: at as u64, row }));
        write(&plan, (0, members), out)
    }
}

fn invalid(reason: &str) -> OpError {
    OpError::validation(format!("Invalid query: {reason}"))
}

/// What is wrong with the filter is wrong with the query.
fn of_query(error: OpError) -> OpError {
    match error.message.strip_prefix("Invalid filter: ") {
        Some(reason) if error.code == ErrorCode::ValidationError => invalid(reason),
        _ => error,
    }
}

/// Appends the result over what a bucket shows.
fn answer(plan: &Plan, bucket: &Bucket, out: &mut Vec<u8>) -> Result<(), OpError> {
    let Window { offset, .. } = plan.window;
    let Some(mut way) = by_index(plan, bucket) else {
        let is_in_order = plan.sort.is_none() && plan.aggregate.is_none();
        let pass = if is_in_order { offset } else { 0 };
        return write(plan, plan.shown(bucket, pass), out);
    };
    plan.budget.reply(out.len())?;
    let passed = way.pass(offset, bucket);
    let members = plan.first_on((bucket, &way), false, plan.window.end().saturating_sub(passed));
    plan.budget.check()?;
    let shown = members.into_iter().skip(offset.saturating_sub(passed));
    let pieces: Vec<Piece> = shown.map(|member| Piece::Row(member.row.clone())).collect();
    write_list(pieces.iter(), &plan.projection, out);
    plan.budget.note_rows(pieces.len());
    Ok(plan.budget.reply(out.len() + 1)?)
}

/// The way through an ordered index, if it is no longer than the others: what
/// the index knows nothing of may match rarely.
fn by_index(plan: &Plan, bucket: &Bucket) -> Option<InOrder> {
    plan.window.limit?;
    let way = plan.in_order(bucket)?;
    (way.is_covered() || way.len() <= bucket.count_candidates(&plan.filter)).then_some(way)
}

/// Appends the result of these members, before which so many of the window's
/// offset are left out already. One that is undefined is null, as that of
/// `store.min` is.
fn write<'r>(
    plan: &Plan,
    (passed, members): (usize, impl Iterator<Item = Member<'r>>),
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    // Only what this adds is paid for.
    plan.budget.reply(out.len())?;
    let result = match (&plan.sort, &plan.aggregate) {
        (_, Some(_)) => plan.evaluate_over(members, plan.projection.text_bytes),
        (Some(sort), None) => Evaluated::List(sorted(plan, sort, members)?),
        (None, None) => {
            let shown = members.skip(plan.window.offset.saturating_sub(passed));
            let shown = shown.take(plan.window.limit.unwrap_or(usize::MAX));
            Evaluated::List(shown.map(|member| Piece::Row(member.row.clone())).collect())
        }
    };
    // A walk cut short has not found everything.
    plan.budget.check()?;
    match result {
        Evaluated::Value(Some(value)) => write_number(out, value),
        Evaluated::Value(None) => out.extend_from_slice(b"null"),
        Evaluated::List(pieces) => {
            write_list(pieces.iter(), &plan.projection, out);
            plan.budget.note_rows(pieces.len());
        }
    }
    Ok(plan.budget.reply(out.len() + 1)?)
}

/// The rows that are shown, in the order of the query: what a view that was
/// started now would show. A few among many are found in linear time.
fn sorted<'r>(
    plan: &Plan,
    sort: &SortSpec,
    members: impl Iterator<Item = Member<'r>>,
) -> Result<Vec<Piece>, OpError> {
    let mut columns = sort.columns();
    let (mut longest, mut bytes) = (0usize, 0usize);
    let members: Vec<Member<'r>> = members
        .inspect(|member| {
            sort.count(&mut columns, member.row, true);
            let length = sort.text_len(member.row);
            longest = longest.max(length);
            bytes = bytes.saturating_add(length);
        })
        .collect();
    plan.budget.check()?;
    let Window { offset, limit, .. } = plan.window;
    let end = plan.window.end();
    let limit = limit.unwrap_or(usize::MAX);
    let held = members.len().min(end.saturating_mul(2));
    let keys = bytes.min(longest.saturating_mul(held));
    if sort.is_total(&columns) && keys <= plan.projection.text_bytes {
        plan.budget.spend_sort(members.len().min(end))?;
        let first = first_sorted(members.into_iter(), sort, end);
        return Ok(first.into_iter().skip(offset).take(limit).map(|(_, piece)| piece).collect());
    }
    // Values without one order, or so long that copies of them would not be in
    // proportion to what is answered: compared where they are.
    plan.budget.spend_sort(members.len())?;
    let depth = members.len().checked_ilog2().unwrap_or(0) as usize;
    plan.budget.spend_text_bytes(bytes.saturating_mul(depth))?;
    let mut rows: Vec<&Row> = members.into_iter().map(|member| member.row).collect();
    sort_like_reference(&mut rows, &mut |a, b| sort.compare(a, b));
    let shown = rows.into_iter().skip(offset).take(limit);
    Ok(shown.map(|row| Piece::Row(row.clone())).collect())
}

impl Views {
    /// `store.live`: joins the view of a query without a name, or makes it.
    /// Those of equal texts are one.
    pub fn live(
        &mut self,
        store: &Store,
        query: AdHoc,
        read_filter: Option<Arc<Json>>,
        want: Want,
        budget: &Budget,
    ) -> Result<ViewId, OpError> {
        let text = query.definition.config.to_text();
        bounds::check_query(text.len())?;
        let id = match self.ad_hoc.get(&*text) {
            Some(id) => *id,
            None => {
                let told = format!("live query of {}", query.definition.bucket);
                self.add(Name::Text(&text, &told), Source::Declared(Arc::new(query.definition)))
            }
        };
        let view = self.join(store, (id, ""), None, read_filter, want, budget);
        if view.is_err() {
            self.forget_unused(id);
        }
        view.map_err(of_query)
    }

    /// A query without a name is there as long as somebody has a view of it.
    pub(super) fn forget_unused(&mut self, id: QueryId) {
        if let Some(query) = self.queries.get(&id)
            && let Some(text) = &query.ad_hoc
            && query.views.is_empty()
        {
            self.ad_hoc.remove(text);
            self.costly.remove(&id);
            self.queries.remove(&id);
        }
    }

    /// `store.query`: the result that subscribing to a query would begin with.
    pub fn ask(
        &self,
        store: &Store,
        (name, params): (&str, Option<Raw<'_>>),
        read_filter: Option<Arc<Json>>,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let source = self.source_named(name).ok_or_else(|| not_a_query(name))?;
        let given = super::params::given(params);
        match source {
            Source::Declared(definition) => {
                let bucket = store.require(&definition.bucket)?;
                let params = definition.filter.params(given);
                let mut plan =
                    Plan::new(bucket, definition, &params, read_filter.as_deref(), budget)?;
                bounds::check_conditions(plan.filter.conditions())?;
                plan.projection.text_bytes = self.limits.text_bytes;
                answer(&plan, bucket, out)
            }
            // These have names of their own.
            Source::Derived(_) => Err(not_a_query(name)),
            Source::Program(program) => {
                let params = given.map(Raw::to_json).as_ref().map(serde_json::Value::from);
                let view = ProgramView::new(store, Arc::clone(program), params, budget)?;
                match view.body() {
                    Some(body) => out.extend_from_slice(&body),
                    None => out.extend_from_slice(b"null"),
                }
                Ok(budget.reply(out.len() + 1)?)
            }
        }
    }

    /// Bytes of a text that is sent; a longer one is not finished.
    pub fn text_bytes(&self) -> usize {
        self.limits.text_bytes
    }
}
