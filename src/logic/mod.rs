//! Computed fields, derived views, constraints, and the expressions that they
//! are made of.
//!
//! Owns the definitions and what they mean. Knows the store (whose writes it
//! takes part in) and the machinery of live queries; knows nothing of
//! connections, requests or envelopes.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `expr`, `expr/ops`, `expr/round`, `expr/value`, `issues`
//! 2. `computed`, `expr/date`, `expr/parse`, `expression`, `totals`, `view`, `view/predicate`
//! 3. `constraint`, `expr/eval`, `expr/naive`, `view/plan`
//! 4. `guard`, `view/sources`
//! 5. `view/state`

mod computed;
mod constraint;
pub(crate) mod expr;
mod expression;
mod guard;
mod issues;
mod totals;
mod view;

use std::sync::Arc;

pub use expr::ExprLimits;
pub use expression::Expression;

use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, bounds};
use crate::store::{BucketId, Commit, DefinitionChange, Store, WriteCx};
use computed::Computed;
use constraint::Constraint;
use constraint::Draft as ConstraintDraft;
use guard::BucketLogic;
pub(crate) use view::{Maker, View};

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicLimits {
    /// Views, and separately constraints.
    pub definitions: usize,
    pub expr: ExprLimits,
    /// Joined rows of a view before grouping.
    pub view_rows: usize,
}

impl Default for LogicLimits {
    fn default() -> Self {
        LogicLimits { definitions: 1000, expr: ExprLimits::default(), view_rows: 1_000_000 }
    }
}

/// All definitions, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Logic {
    limits: LogicLimits,
    computed: Vec<OfBucket<Computed>>,
    constraints: Vec<OfBucket<Constraint>>,
    views: Vec<Arc<View>>,
}

/// A definition and the bucket that it is bound to.
#[derive(Debug)]
struct OfBucket<T> {
    bucket: BucketId,
    name: Box<str>,
    what: Arc<T>,
}

fn already_exists(kind: &str, name: &str) -> OpError {
    OpError::new(ErrorCode::AlreadyExists, format!("{kind} \"{name}\" already exists"))
}

impl Logic {
    pub fn new(limits: LogicLimits) -> Self {
        Logic { limits, ..Logic::default() }
    }

    pub(crate) fn limits(&self) -> &LogicLimits {
        &self.limits
    }

    /// Checks a definition: its kind as a document, its name (of computed
    /// fields, the bucket), and what comes over the wire.
    ///
    /// # Errors
    /// What is wrong with it by itself.
    pub(crate) fn parse(
        &self,
        store: &Store,
        kind: &str,
        name: &str,
        body: &Object,
    ) -> Result<Draft, OpError> {
        match kind {
            COMPUTED => self.parse_computed(store, name, body).map(Draft::Computed),
            VIEW => View::parse(body, self.limits).map(Draft::View),
            _ => self.parse_constraint(body).map(Draft::Constraint),
        }
    }

    /// Adds what was checked. Returns it as it is stored. `is_stored`: it was
    /// defined before this start; the buckets of a view may be gone since.
    ///
    /// # Errors
    /// Why it cannot be added to what is there.
    pub(crate) fn define(
        &mut self,
        store: &mut Store,
        draft: Draft,
        is_stored: bool,
        cx: WriteCx<'_>,
    ) -> Result<Json, OpError> {
        match draft {
            Draft::Computed(draft) => Ok(self.define_computed(store, draft)),
            Draft::Constraint(draft) => self.define_constraint(store, draft, cx),
            Draft::View(view) => self.define_view(store, view, is_stored),
        }
    }

    /// Drops what has that name; false if there is nothing.
    pub(crate) fn undefine(&mut self, store: &mut Store, kind: &str, name: &str) -> bool {
        match kind {
            COMPUTED => self.drop_computed(store, name),
            VIEW => self.drop_view(name),
            _ => self.drop_constraint(store, name),
        }
    }

    fn parse_computed(
        &self,
        store: &Store,
        bucket: &str,
        fields: &Object,
    ) -> Result<ComputedDraft, OpError> {
        let bucket = store.require(bucket)?;
        match Computed::parse(bucket, fields, self.limits.expr) {
            Ok(computed) => {
                let name = bucket.name().into();
                Ok(ComputedDraft { bucket: bucket.id(), name, computed })
            }
            Err(issues) => match issues.into_result("Computed fields") {
                Err(error) => Err(error),
                Ok(()) => Err(OpError::internal()),
            },
        }
    }

    /// Gives a bucket its computed fields, instead of those that it has.
    /// Returns them as they are stored.
    fn define_computed(&mut self, store: &mut Store, draft: ComputedDraft) -> Json {
        let ComputedDraft { bucket, name, computed } = draft;
        let definition = Json::Object(computed.definition().clone());
        let what = Arc::new(computed);
        match self.computed.iter_mut().find(|have| have.bucket == bucket) {
            Some(have) => have.what = what,
            None => self.computed.push(OfBucket { bucket, name, what }),
        }
        self.bind(store, bucket);
        definition
    }

    /// `logic.dropComputed`
    fn drop_computed(&mut self, store: &mut Store, name: &str) -> bool {
        let Some(at) = self.computed.iter().position(|have| *have.name == *name) else {
            return false;
        };
        let OfBucket { bucket, .. } = self.computed.remove(at);
        self.bind(store, bucket);
        true
    }

    /// Bucket names and the fields.
    pub(crate) fn computed(&self) -> impl ExactSizeIterator<Item = (&str, &Object)> {
        self.computed.iter().map(|have| (&*have.name, have.what.definition()))
    }

    /// Checks `logic.defineConstraint` by itself.
    ///
    /// # Errors
    /// What is wrong with the definition.
    fn parse_constraint(&self, definition: &Object) -> Result<ConstraintDraft, OpError> {
        match ConstraintDraft::parse(definition, self.limits.expr) {
            Ok(draft) => Ok(draft),
            Err(issues) => match issues.into_result("Constraint") {
                Err(error) => Err(error),
                Ok(()) => Err(OpError::internal()),
            },
        }
    }

    /// Adds a constraint. Returns it as it is stored.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`, `BUCKET_NOT_DEFINED`, `VALIDATION_ERROR` for one too
    /// many or a budget that does not suffice for the groups.
    fn define_constraint(
        &mut self,
        store: &mut Store,
        draft: ConstraintDraft,
        cx: WriteCx<'_>,
    ) -> Result<Json, OpError> {
        bounds::check_name("Constraint", &draft.name)?;
        if self.constraints.iter().any(|have| have.name == draft.name) {
            return Err(already_exists("Constraint", &draft.name));
        }
        let bucket = store.require(&draft.on)?;
        let most = self.limits.definitions;
        if self.constraints.len() >= most {
            return Err(OpError::validation(format!("Too many constraints (maximum {most})")));
        }
        let definition = Json::Object(draft.definition().clone());
        let (id, name) = (bucket.id(), draft.name.clone());
        let constraint = Constraint::new(draft, bucket, self.limits.expr, cx)?;
        cx.budget.check()?;
        self.constraints.push(OfBucket { bucket: id, name, what: Arc::new(constraint) });
        self.bind(store, id);
        Ok(definition)
    }

    /// `logic.dropConstraint`
    fn drop_constraint(&mut self, store: &mut Store, name: &str) -> bool {
        let Some(at) = self.constraints.iter().position(|have| *have.name == *name) else {
            return false;
        };
        let OfBucket { bucket, .. } = self.constraints.remove(at);
        self.bind(store, bucket);
        true
    }

    pub(crate) fn constraints(&self) -> impl ExactSizeIterator<Item = &Object> {
        self.constraints.iter().map(|have| &have.what.definition)
    }

    fn define_view(&mut self, store: &Store, view: View, is_stored: bool) -> Result<Json, OpError> {
        bounds::check_name("View", &view.name)?;
        if self.view(&view.name).is_some() {
            return Err(already_exists("View", &view.name));
        }
        if !is_stored {
            view.require_buckets(store)?;
        }
        let most = self.limits.definitions;
        if self.views.len() >= most {
            return Err(OpError::validation(format!("Too many views (maximum {most})")));
        }
        let definition = Json::Object(view.definition.clone());
        self.views.push(Arc::new(view));
        Ok(definition)
    }

    fn drop_view(&mut self, name: &str) -> bool {
        let before = self.views.len();
        self.views.retain(|view| *view.name != *name);
        self.views.len() < before
    }

    pub(crate) fn view(&self, name: &str) -> Option<&Arc<View>> {
        self.views.iter().find(|view| *view.name == *name)
    }

    pub(crate) fn views(&self) -> impl ExactSizeIterator<Item = &Arc<View>> {
        self.views.iter()
    }

    /// The names of the views that read a bucket of that name.
    pub(crate) fn views_over(&self, bucket: &str) -> impl Iterator<Item = &str> {
        let over = self.views.iter().filter(move |view| view.buckets().contains(&bucket));
        over.map(|view| &*view.name)
    }

    /// Lets a bucket know of what is defined on it.
    fn bind(&self, store: &mut Store, bucket: BucketId) {
        let computed = self.computed.iter().find(|have| have.bucket == bucket);
        let constraints = self.constraints.iter().filter(|have| have.bucket == bucket);
        let logic = BucketLogic::new(
            computed.map(|have| Arc::clone(&have.what)),
            constraints.map(|have| Arc::clone(&have.what)).collect(),
        );
        store.set_guard(bucket, (!logic.is_empty()).then(|| Arc::new(logic) as _));
    }

    /// A bucket that is dropped takes its computed fields and constraints
    /// along. Returns what is gone: kind and name of each.
    pub(crate) fn follow(&mut self, commit: &Commit) -> Vec<(&'static str, Box<str>)> {
        let mut gone = Vec::new();
        for definition in &commit.definitions {
            let DefinitionChange::Dropped { bucket, .. } = definition else { continue };
            take_out(&mut self.computed, *bucket, COMPUTED, &mut gone);
            take_out(&mut self.constraints, *bucket, CONSTRAINT, &mut gone);
        }
        gone
    }
}

/// A definition that makes sense by itself.
#[derive(Debug)]
pub(crate) enum Draft {
    Computed(ComputedDraft),
    Constraint(ConstraintDraft),
    View(View),
}

impl Draft {
    /// The buckets that it is about.
    pub fn buckets(&self) -> Vec<&str> {
        match self {
            Draft::Computed(draft) => vec![&draft.name],
            Draft::Constraint(draft) => vec![&draft.on],
            Draft::View(view) => view.buckets(),
        }
    }

    /// The name under which it is stored.
    pub fn name(&self) -> &str {
        match self {
            Draft::Computed(draft) => &draft.name,
            Draft::Constraint(draft) => &draft.name,
            Draft::View(view) => &view.name,
        }
    }
}

/// Computed fields, and the bucket that they are for.
#[derive(Debug)]
pub(crate) struct ComputedDraft {
    bucket: BucketId,
    name: Box<str>,
    computed: Computed,
}

/// The kinds of stored documents.
pub(crate) const COMPUTED: &str = "logic.computed";
pub(crate) const CONSTRAINT: &str = "logic.constraint";
pub(crate) const VIEW: &str = "logic.view";

fn take_out<T>(
    all: &mut Vec<OfBucket<T>>,
    bucket: BucketId,
    kind: &'static str,
    gone: &mut Vec<(&'static str, Box<str>)>,
) {
    all.retain(|have| {
        let stays = have.bucket != bucket;
        if !stays {
            gone.push((kind, have.name.clone()));
        }
        stays
    });
}
