//! A view: the result of one query with one set of parameters, shared by all
//! that subscribed to it, and kept up to date.

use std::sync::Arc;

use super::definition::Definition;
use super::digest::write_set;
use super::form::{Effect, Fallback, Form, Rebuild, difference};
use super::list::{ListChange, patch};
use super::params::Params;
use super::plan::{Evaluated, Plan};
use super::span::{BySpan, Span, Spans};
use super::value::MemberChange;
pub(crate) use super::wanted::Want;
use super::wanted::Wanted;
use crate::budget::Budget;
use crate::json::{Json, write_number};
use crate::protocol::{OpError, bounds};
use crate::store::{Bucket, BucketId, Change};

/// The text of a result as clients see it; `None`: undefined.
pub(crate) type Body = Option<Arc<[u8]>>;

/// A change of a result, in every form that a subscriber wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changed {
    /// The whole result differs. (It need not when a delta exists: another
    /// record that looks the same is no change to those who see no keys.)
    pub full: bool,
    /// The new whole text, if somebody wants it now.
    pub body: Option<Body>,
    /// The old whole text, if it was at hand. It was for everybody who was
    /// sent it.
    pub previous: Option<Body>,
    /// What follows `"seq":n,` in the delta; `None` where nobody wants it.
    pub with_positions: Option<Arc<[u8]>>,
    pub as_set: Option<Arc<[u8]>>,
    /// The same for each window that shows something else now.
    pub seen: BySpan<Arc<[u8]>>,
}

/// Counted decisions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ViewStats {
    /// Commits that touched a record it could concern.
    pub commits: u64,
    /// Of those, how many changed the result.
    pub changes: u64,
    /// Evaluations from scratch after the first.
    pub reruns: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct View {
    definition: Arc<Definition>,
    params: Params,
    read_filter: Option<Arc<Json>>,
    pub plan: Plan,
    form: Form,
    /// The text of the current result, if it was made.
    body: Option<Body>,
    wanted: Wanted,
    pub stats: ViewStats,
}

/// What limits a view.
#[derive(Clone, Copy, Debug)]
pub struct ViewLimits {
    /// Bytes of state that one view may keep; above, it is evaluated afresh at
    /// every change.
    pub view_bytes: usize,
    /// Bytes of state of all views.
    pub total_bytes: usize,
    /// Steps that the upkeep of one query may take for one commit; above, it is
    /// costly. 0: as many as it takes.
    pub view_steps: u64,
    /// Least time between two updates of the views of a costly query.
    pub costly_view_ms: u64,
    /// Bytes of a text that is sent; a longer one is not finished.
    pub text_bytes: usize,
    /// Compare every result with an evaluation from scratch after every commit.
    /// Always on in the crate's own tests.
    pub check: bool,
}

impl Default for ViewLimits {
    fn default() -> Self {
        ViewLimits {
            view_bytes: 256 << 20,
            total_bytes: 1 << 30,
            view_steps: 2_000_000,
            costly_view_ms: 250,
            text_bytes: 64 << 20,
            check: cfg!(test),
        }
    }
}

impl View {
    pub fn new(
        bucket: &Bucket,
        definition: Arc<Definition>,
        params: Params,
        read_filter: Option<Arc<Json>>,
        want: Want,
        (budget, text_bytes): (&Budget, usize),
    ) -> Result<View, OpError> {
        let mut plan = Plan::new(bucket, &definition, &params, read_filter.as_deref(), budget)?;
        plan.projection.text_bytes = text_bytes;
        bounds::check_conditions(plan.filter.conditions())?;
        let as_set = want == Want::Delta { positions: false };
        let form = Form::build(&plan, bucket, as_set);
        budget.check()?;
        Ok(View {
            definition,
            params,
            read_filter,
            plan,
            form,
            body: None,
            wanted: Wanted::default(),
            stats: ViewStats::default(),
        })
    }

    /// The parameters under their names, for people.
    pub fn described_params(&self) -> Json {
        self.definition.filter.describe(&self.params)
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The text of the result, if it was made.
    pub fn made_body(&self) -> Option<Body> {
        self.body.clone()
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    pub(super) fn spans(&self) -> &Spans {
        &self.wanted.spans
    }

    /// Somebody who looked at one part of it looks at another.
    pub(super) fn look_elsewhere(&mut self, from: Span, to: Span) {
        self.wanted.spans.leave(from);
        self.wanted.spans.join(to);
    }

    pub fn bucket(&self) -> BucketId {
        self.plan.bucket
    }

    pub fn subscribers(&self) -> usize {
        self.wanted.total()
    }

    pub fn memory(&self) -> usize {
        let body = self.body.iter().flatten().map(|body| body.len()).sum::<usize>();
        self.form.memory() + body + self.wanted.spans.memory()
    }

    /// For `store.explain`.
    /// How many rows the result has, and the bytes of its text, as far as they
    /// are known.
    pub fn size(&self) -> (Option<usize>, Option<usize>) {
        let made = self.body.as_ref().and_then(|body| body.as_ref()).map(|body| body.len());
        (self.form.rows(), made.or_else(|| self.form.text_len()))
    }

    pub fn describe(&self) -> &'static str {
        self.form.describe()
    }

    pub fn refills(&self) -> u64 {
        self.form.refills()
    }

    pub fn fallback(&self) -> Option<Fallback> {
        if let Form::Rerun(reason, _) = &self.form { Some(*reason) } else { None }
    }

    /// Counts a subscriber.
    pub fn join(&mut self, bucket: &Bucket, want: Want) {
        self.wanted.join(want);
        if want != (Want::Delta { positions: false }) && matches!(self.form, Form::Set(_)) {
            self.form = Form::build(&self.plan, bucket, false);
        }
    }

    /// Forgets a subscriber. Returns how many are left.
    pub fn leave(&mut self, want: Want) -> usize {
        self.wanted.leave(want);
        self.wanted.total()
    }

    /// The text of the whole current result.
    pub fn body(&mut self, bucket: &Bucket) -> Body {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let body = self.render(bucket);
        self.body = Some(body.clone());
        body
    }

    fn render(&self, bucket: &Bucket) -> Body {
        let mut out = Vec::new();
        self.form.write(&self.plan, bucket, &mut out);
        (!out.is_empty()).then(|| out.into())
    }

    /// Appends the members that describe the whole state in delta mode, as in
    /// the response to a subscribe and in a reset: `"keys":[…],"data":[…]`, or
    /// the value under the name that belongs there.
    pub fn write_state(&mut self, bucket: &Bucket, value_name: &str, out: &mut Vec<u8>) {
        match self.form.value() {
            Some(value) => {
                out.push(b'"');
                out.extend_from_slice(value_name.as_bytes());
                out.extend_from_slice(b"\":");
                write_number(out, value.unwrap_or(f64::NAN));
            }
            None => {
                out.extend_from_slice(b"\"keys\":");
                self.form.write_keys(&self.plan, bucket, out);
                out.extend_from_slice(b",\"data\":");
                match &self.body {
                    Some(Some(body)) => out.extend_from_slice(body),
                    _ => self.form.write(&self.plan, bucket, out),
                }
            }
        }
    }

    /// The same for the first time that somebody is told: a set remembers what
    /// that was.
    pub fn write_first_state(&mut self, bucket: &Bucket, value_name: &str, out: &mut Vec<u8>) {
        if !matches!(self.form, Form::Set(None)) || self.body.is_some() {
            return self.write_state(bucket, value_name, out);
        }
        out.extend_from_slice(b"\"keys\":");
        self.form.write_keys(&self.plan, bucket, out);
        out.extend_from_slice(b",\"data\":");
        self.form = Form::Set(write_set(&self.plan, bucket, out));
    }

    /// What follows `"seq":n,` in a reset.
    pub fn reset_text(&mut self, bucket: &Bucket) -> Arc<[u8]> {
        let mut out = b"\"reset\":true,".to_vec();
        self.write_state(bucket, "value", &mut out);
        out.into()
    }

    /// Applies one commit, of which `changes` are those that could concern this
    /// view. `None`: the result is as it was.
    pub fn apply(
        &mut self,
        bucket: &Bucket,
        changes: &[&Change],
        limits: &ViewLimits,
    ) -> Option<Changed> {
        let members: Vec<MemberChange<'_>> =
            changes.iter().filter_map(|change| self.plan.change(change)).collect();
        if members.is_empty() {
            return None;
        }
        self.stats.commits += 1;
        let effect = match self.form.apply(&self.plan, bucket, &members, &self.wanted.spans) {
            Ok(effect) => {
                self.stats.reruns += u64::from(matches!(self.form, Form::Rerun(..)));
                effect
            }
            Err(Rebuild) => self.rebuild(bucket),
        };
        let changed = self.publish(bucket, effect);
        if limits.check {
            self.check(bucket);
        }
        changed
    }

    /// All records of the bucket are gone, or its definition is another one.
    pub fn start_over(&mut self, bucket: &Bucket, limits: &ViewLimits) -> Option<Changed> {
        self.stats.commits += 1;
        let read_filter = self.read_filter.as_deref();
        let upkeep = &self.plan.budget;
        let plan = Plan::new(bucket, &self.definition, &self.params, read_filter, upkeep);
        let before = self.snapshot(bucket);
        // What the new definition does not allow stays as it was.
        if let Ok(mut plan) = plan {
            plan.projection.text_bytes = limits.text_bytes;
            self.plan = plan;
        }
        let effect = self.build_anew(bucket, before);
        let changed = self.publish(bucket, effect);
        if limits.check {
            self.check(bucket);
        }
        changed
    }

    /// Commits went by without it: the newest state from the records.
    pub fn catch_up(&mut self, bucket: &Bucket, limits: &ViewLimits) -> Option<Changed> {
        self.stats.commits += 1;
        let effect = self.rebuild(bucket);
        let changed = self.publish(bucket, effect);
        if limits.check {
            self.check(bucket);
        }
        changed
    }

    /// The result as it is kept; `None` if it is not kept.
    fn snapshot(&self, bucket: &Bucket) -> Option<Evaluated> {
        match &self.form {
            Form::Set(_) => None,
            form => Some(match form.value() {
                Some(value) => Evaluated::Value(value),
                None => Evaluated::List(form.pieces(&self.plan, bucket).collect()),
            }),
        }
    }

    /// Builds the state from the records and compares the results.
    fn rebuild(&mut self, bucket: &Bucket) -> Effect {
        let before = self.snapshot(bucket);
        self.build_anew(bucket, before)
    }

    /// Builds the state from the records, and compares the result with what it
    /// was.
    fn build_anew(&mut self, bucket: &Bucket, before: Option<Evaluated>) -> Effect {
        self.stats.reruns += 1;
        let digest = match &self.form {
            Form::Set(before) => {
                Some(before.as_ref().map(|it| (it.renewed(&self.plan, bucket), it)))
            }
            _ => None,
        };
        if let Some(digest) = digest {
            let is_same = digest.as_ref().is_some_and(|(after, before)| after.is_same(before));
            self.form = match Form::build(&self.plan, bucket, true) {
                Form::Set(_) => Form::Set(digest.map(|(after, _)| after)),
                other => other,
            };
            return if is_same { Effect::Unchanged } else { Effect::Reset(None) };
        }
        self.form = Form::build(&self.plan, bucket, false);
        match (before, self.snapshot(bucket)) {
            (Some(before), Some(after)) => difference(before, &after, &self.plan.projection),
            _ => Effect::Reset(None),
        }
    }

    /// From now on the view is evaluated afresh at every change.
    pub fn give_up(&mut self, bucket: &Bucket, reason: Fallback) {
        if matches!(self.form, Form::Rerun(..) | Form::Set(_)) {
            return;
        }
        log::warn!("a view is evaluated afresh at every change from now on: {}", reason.as_str());
        self.form = Form::Rerun(reason, self.plan.evaluate(bucket));
    }

    /// Makes the texts that are wanted.
    fn publish(&mut self, bucket: &Bucket, effect: Effect) -> Option<Changed> {
        if matches!(effect, Effect::Unchanged) {
            return None;
        }
        let previous = self.body.take();
        let mut changed = Changed { full: true, previous, ..Changed::default() };
        if self.wanted.full > 0 {
            let old = changed.previous.as_ref().and_then(Option::as_ref);
            let body = match (&effect, old) {
                (Effect::List(change, _), Some(old))
                    if !matches!(self.form, Form::Set(_))
                        && old.len() <= self.plan.projection.text_bytes =>
                {
                    let mut text = Vec::with_capacity(old.len() + 256);
                    patch(old, change, &self.plan.projection, &mut text);
                    Some(text.into())
                }
                _ => self.render(bucket),
            };
            let may_look_the_same =
                !self.plan.projection.shows_key() || matches!(self.form, Form::Groups(_));
            if may_look_the_same || matches!(effect, Effect::Reset(_)) {
                // Other records or groups, or another order, may look the same.
                changed.full = changed.previous.as_ref() != Some(&body);
            }
            self.body = Some(body.clone());
            changed.body = Some(body);
        }
        if self.wanted.positions + self.wanted.sets > 0 {
            self.write_deltas(bucket, &effect, &mut changed);
        }
        changed.seen = self.see(effect);
        let texts = [&changed.with_positions, &changed.as_set].into_iter().flatten();
        let seen = changed.seen.iter().map(|(_, text)| text);
        let bytes: usize = texts.chain(seen).map(|text| text.len()).sum();
        let body = changed.body.iter().flatten().map(|body| body.len()).sum::<usize>();
        // Its own budget has no end.
        let _ = self.plan.budget.spend_text_bytes(bytes + body);
        self.stats.changes += 1;
        Some(changed)
    }

    fn write_deltas(&mut self, bucket: &Bucket, effect: &Effect, changed: &mut Changed) {
        let Effect::List(change, _) = effect else {
            let text = match effect {
                Effect::Value => {
                    let mut out = Vec::new();
                    self.write_state(bucket, "value", &mut out);
                    out.into()
                }
                _ => self.reset_text(bucket),
            };
            changed.with_positions = Some(Arc::clone(&text));
            changed.as_set = Some(text);
            return;
        };
        if self.wanted.positions > 0 {
            changed.with_positions = Some(self.delta_text(change, true));
        }
        if self.wanted.sets > 0 {
            changed.as_set = Some(self.delta_text(change, false));
        }
    }

    pub(super) fn delta_text(&self, change: &ListChange, positions: bool) -> Arc<[u8]> {
        let mut out = Vec::with_capacity(256);
        change.write(&self.plan.projection, positions, &mut out);
        out.into()
    }

    /// Holds that what is kept is what an evaluation from scratch gives.
    ///
    /// # Panics
    /// When it is not.
    pub fn check(&self, bucket: &Bucket) {
        let mut kept = Vec::new();
        // A check is no upkeep.
        let mut free = self.plan.clone();
        free.budget = Budget::unlimited();
        self.form.write(&free, bucket, &mut kept);
        let mut expected = Vec::new();
        let fresh = Form::Rerun(Fallback::Inconsistent, free.evaluate(bucket));
        fresh.write(&free, bucket, &mut expected);
        if let Form::Set(Some(digest)) = &self.form {
            assert!(digest.is_same(&digest.renewed(&free, bucket)), "the digest of a set");
        }
        let show = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        assert_eq!(show(&kept), show(&expected), "a maintained result ({})", self.describe());
        if let Some(body) = &self.body {
            let body = body.as_deref().unwrap_or_default();
            assert_eq!(show(body), show(&expected), "the text of a result ({})", self.describe());
        }
    }
}
