//! One live view, of a declarative query or of a program's.

use std::sync::Arc;

use super::derived::Derived;
use super::program::ProgramView;
use super::routing::Route;
use super::span::Span;
use super::view::{Body, Changed, View, ViewLimits, ViewStats, Want};
use crate::store::{Bucket, BucketId, Change, Filter, Store};

/// See the module's description.
#[derive(Debug)]
pub(crate) enum Live {
    Declared(Box<View>),
    Program(Box<ProgramView>, Common),
    Derived(Box<dyn Derived>, Common),
}

/// What is kept of a program's view beside the view.
#[derive(Debug, Default)]
pub(crate) struct Common {
    subscribers: usize,
    stats: ViewStats,
}

/// What happened to the buckets of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Records changed.
    Changes,
    /// Anything, in commits that it did not follow.
    CatchUp,
    /// All records went, or the definition is another one.
    StartOver,
}

/// Where what reads this of a bucket is filed.
fn routes_of(store: &Store, bucket: BucketId, filter: Option<&Filter>) -> Vec<(BucketId, Route)> {
    let routes = match (filter, store.bucket(bucket)) {
        (Some(filter), _) if filter.is_never() => None,
        (Some(filter), Some(there)) => Route::of(filter, there),
        (None, _) | (_, None) => Some(Route::All),
    };
    routes.into_iter().map(|route| (bucket, route)).collect()
}

impl Live {
    /// The bucket, if there is one that everything comes from.
    fn bucket<'s>(&self, store: &'s Store) -> Option<&'s Bucket> {
        match self {
            Live::Declared(view) => store.bucket(view.bucket()),
            Live::Program(..) | Live::Derived(..) => None,
        }
    }

    pub fn reads(&self, bucket: BucketId) -> bool {
        match self {
            Live::Declared(view) => view.bucket() == bucket,
            Live::Program(view, _) => view.dependencies.all_buckets().contains(&bucket),
            Live::Derived(view, _) => view.buckets().contains(&bucket),
        }
    }

    /// Where it is filed: under each bucket that it reads.
    pub fn routes(&self, store: &Store) -> Vec<(BucketId, Route)> {
        match self {
            Live::Declared(view) if view.plan.is_never => Vec::new(),
            Live::Declared(view) => routes_of(store, view.bucket(), Some(&view.plan.filter)),
            Live::Program(view, _) => Route::of_dependencies(&view.dependencies),
            Live::Derived(view, _) => {
                let sources = view.sources().into_iter();
                let routes = sources.flat_map(|(bucket, filter)| routes_of(store, bucket, filter));
                routes.collect()
            }
        }
    }

    /// What it reads, as far as it is there.
    pub fn buckets(&self) -> Vec<BucketId> {
        match self {
            Live::Declared(view) => vec![view.bucket()],
            Live::Program(view, _) => {
                let mut all: Vec<BucketId> = view.dependencies.all_buckets().into_iter().collect();
                all.sort_unstable();
                all
            }
            Live::Derived(view, _) => view.buckets(),
        }
    }

    /// How many rows the result has, and the bytes of its text, as far as they
    /// are known.
    pub fn size(&self) -> (Option<usize>, Option<usize>) {
        let length = |body: Body| body.map(|text| text.len());
        match self {
            Live::Declared(view) => view.size(),
            Live::Program(view, _) => (None, length(view.body())),
            Live::Derived(view, _) => (None, length(view.body())),
        }
    }

    pub fn subscribers(&self) -> usize {
        match self {
            Live::Declared(view) => view.subscribers(),
            Live::Program(_, common) | Live::Derived(_, common) => common.subscribers,
        }
    }

    pub fn join(&mut self, store: &Store, want: Want) {
        let bucket = self.bucket(store);
        match self {
            Live::Declared(view) => {
                if let Some(bucket) = bucket {
                    view.join(bucket, want);
                }
            }
            Live::Program(_, common) | Live::Derived(_, common) => common.subscribers += 1,
        }
    }

    /// Returns how many are left.
    pub fn leave(&mut self, want: Want) -> usize {
        match self {
            Live::Declared(view) => view.leave(want),
            Live::Program(_, common) | Live::Derived(_, common) => {
                common.subscribers = common.subscribers.saturating_sub(1);
                common.subscribers
            }
        }
    }

    /// How many rows the result has, where somebody has counted.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Live::Declared(view) => view.form().rows(),
            Live::Program(..) | Live::Derived(..) => None,
        }
    }

    /// The text of the whole current result.
    pub fn body(&mut self, store: &Store) -> Body {
        let bucket = self.bucket(store);
        match self {
            Live::Declared(view) => bucket.and_then(|bucket| view.body(bucket)),
            Live::Program(view, _) => view.body(),
            Live::Derived(view, _) => view.body(),
        }
    }

    /// Appends the state as delta mode has it. Programs have no deltas.
    pub fn write_state(&mut self, store: &Store, value_name: &str, out: &mut Vec<u8>) {
        if let (Some(bucket), Live::Declared(view)) = (self.bucket(store), &mut *self) {
            view.write_state(bucket, value_name, out);
        }
    }

    /// The same for the first time; see [`View::write_first_state`].
    pub fn write_first_state(&mut self, store: &Store, value_name: &str, out: &mut Vec<u8>) {
        if let (Some(bucket), Live::Declared(view)) = (self.bucket(store), &mut *self) {
            view.write_first_state(bucket, value_name, out);
        }
    }

    /// What follows `"seq":n,` in a reset; of what a window shows.
    pub fn reset_text(&mut self, store: &Store, window: Option<Span>) -> Option<Arc<[u8]>> {
        let bucket = self.bucket(store)?;
        match self {
            Live::Declared(view) => Some(match window {
                Some(span) => view.window_reset_text(span),
                None => view.reset_text(bucket),
            }),
            Live::Program(..) | Live::Derived(..) => None,
        }
    }

    /// The word for the result in delta mode; `None`: there is none.
    pub fn shape(&self) -> Option<&'static str> {
        match self {
            Live::Declared(view) => Some(view.plan.shape()),
            Live::Program(..) | Live::Derived(..) => None,
        }
    }

    /// The field that identifies rows.
    pub fn key_field<'s>(&self, store: &'s Store) -> &'s str {
        self.bucket(store).map_or("", Bucket::key_field)
    }

    /// Follows a commit.
    pub fn follow(
        &mut self,
        store: &Store,
        happened: Happened,
        changes: &[&Change],
        limits: &ViewLimits,
        now: u64,
    ) -> Option<Changed> {
        let bucket = self.bucket(store);
        match self {
            Live::Declared(view) => {
                let bucket = bucket?;
                match happened {
                    Happened::CatchUp => view.catch_up(bucket, limits),
                    Happened::Changes => view.apply(bucket, changes, limits),
                    Happened::StartOver => view.start_over(bucket, limits),
                }
            }
            Live::Program(view, common) => {
                let again = happened != Happened::Changes;
                view.apply(store, changes, again, &mut common.stats)
            }
            Live::Derived(view, common) => {
                common.stats.commits += 1;
                let again = happened != Happened::Changes;
                common.stats.reruns += u64::from(again);
                let previous = view.body();
                if !view.follow(store, changes, again, now) {
                    return None;
                }
                common.stats.changes += 1;
                let body = Some(view.body());
                let previous = Some(previous);
                Some(Changed { full: true, body, previous, ..Changed::default() })
            }
        }
    }

    pub fn memory(&self) -> usize {
        match self {
            Live::Declared(view) => view.memory(),
            Live::Program(view, _) => view.memory(),
            Live::Derived(view, _) => view.memory(),
        }
    }

    pub fn stats(&self) -> ViewStats {
        match self {
            Live::Declared(view) => view.stats,
            Live::Program(_, common) | Live::Derived(_, common) => common.stats,
        }
    }

    /// For `store.explain`: what is kept.
    pub fn describe(&self) -> &'static str {
        match self {
            Live::Declared(view) => view.describe(),
            Live::Program(view, _) if view.is_incremental() => "incremental",
            Live::Program(..) => "rerun",
            Live::Derived(..) => "incremental",
        }
    }

    /// For `store.explain`: why it is evaluated afresh at every change.
    pub fn fallback(&self) -> Option<&'static str> {
        match self {
            Live::Declared(view) => view.fallback().map(super::form::Fallback::as_str),
            Live::Program(view, _) => (!view.is_incremental()).then_some("programmatic"),
            Live::Derived(..) => None,
        }
    }

    pub fn refills(&self) -> u64 {
        match self {
            Live::Declared(view) => view.refills(),
            Live::Program(..) | Live::Derived(..) => 0,
        }
    }

    /// How often it could not be evaluated.
    pub fn failures(&self) -> u64 {
        match self {
            Live::Declared(_) | Live::Derived(..) => 0,
            Live::Program(view, _) => view.failures,
        }
    }
}
