//! What logic has to say about the writes to one bucket.

use std::sync::Arc;

use super::computed::Computed;
use super::constraint::{Constraint, upkeep};
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::{Change, Effect, Guard, Layout, Row, WriteCx, WriteKind};

/// The computed fields and the constraints of one bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketLogic {
    pub computed: Option<Arc<Computed>>,
    /// In the order of their definition.
    pub constraints: Vec<Arc<Constraint>>,
    upkeep: Budget,
}

impl BucketLogic {
    pub fn new(computed: Option<Arc<Computed>>, constraints: Vec<Arc<Constraint>>) -> Self {
        BucketLogic { computed, constraints, upkeep: upkeep() }
    }

    pub fn is_empty(&self) -> bool {
        self.computed.is_none() && self.constraints.is_empty()
    }

    fn of_records(&self, kind: WriteKind) -> impl Iterator<Item = &Constraint> {
        let all = self.constraints.iter().map(|constraint| &**constraint);
        all.filter(move |constraint| constraint.group.is_none() && constraint.asks(kind))
    }

    fn of_groups(&self) -> impl Iterator<Item = &Constraint> {
        self.constraints.iter().map(|constraint| &**constraint).filter(|it| it.group.is_some())
    }
}

/// The error of the constraints that are violated, if there are any.
fn violated<'c>(
    violated: impl Iterator<Item = &'c Constraint>,
    cx: WriteCx<'_>,
) -> Result<(), OpError> {
    let violated: Vec<&Constraint> = violated.collect();
    // Cut short, nothing that was found out is to be believed.
    cx.budget.check()?;
    let Some(first) = violated.first() else { return Ok(()) };
    let details = violated.iter().map(|constraint| {
        let entry: Object = [
            ("field", Json::from("_record")),
            ("message", Json::from(&*constraint.message)),
            ("code", Json::from("constraint")),
            ("constraint", Json::from(&*constraint.name)),
        ]
        .into_iter()
        .collect();
        Json::Object(entry)
    });
    let details = Json::Array(details.collect());
    Err(OpError::validation(String::from(&*first.message)).with_details(details))
}

impl Guard for BucketLogic {
    fn is_computed(&self, field: &str) -> bool {
        self.computed.as_ref().is_some_and(|computed| computed.contains(field))
    }

    fn compute(&self, layout: &Layout, row: Row, old: Option<&Row>, cx: WriteCx<'_>) -> Row {
        match &self.computed {
            Some(computed) => computed.apply(layout, row, old, cx),
            None => row,
        }
    }

    fn checks_deletes(&self) -> bool {
        self.of_records(WriteKind::Delete).next().is_some()
    }

    fn check(&self, kind: WriteKind, row: &Row, cx: WriteCx<'_>) -> Result<(), OpError> {
        violated(self.of_records(kind).filter(|constraint| !constraint.holds(row, cx)), cx)
    }

    fn checks_groups(&self) -> bool {
        self.of_groups().next().is_some()
    }

    fn check_groups(&self, effects: &[Effect<'_>], cx: WriteCx<'_>) -> Result<(), OpError> {
        violated(self.of_groups().filter(|constraint| !constraint.holds_after(effects, cx)), cx)
    }

    fn follow(&self, change: &Change) {
        let cx = WriteCx { now: 0.0, budget: &self.upkeep };
        self.of_groups().for_each(|constraint| constraint.follow(change, cx));
    }

    fn cleared(&self) {
        self.of_groups().for_each(Constraint::cleared);
    }
}
