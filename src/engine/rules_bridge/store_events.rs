//! The bridge from commits to events (`rules.storeEvents`).
//!
//! Changes are queued as they are committed and become root events after the
//! response of the request that made them, in commit order. A change that a
//! rule has made continues the chain of the rule: it counts for the depth and
//! for the events of the root trigger, so that a rule which changes what it
//! listens to comes to an end.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::engine::Engine;
use crate::identity::RESERVED;
use crate::json::{Json, Object};
use crate::rules::{Chain, NewEvent, Source};
use crate::store::{Bucket, Change, ChangeKind, Key, Row};

/// Changes that may wait to become events.
const MAX_QUEUED: usize = 10_000;

/// Which changes become events, and how their topics begin.
#[derive(Clone, Debug)]
pub struct StoreEvents {
    /// `None`: all buckets.
    pub buckets: Option<Vec<String>>,
    pub prefix: String,
}

/// What has happened to a record, or to all of a bucket.
#[derive(Debug)]
enum What {
    Inserted(Key, Row),
    Updated(Key, Row, Row),
    Deleted(Key, Row),
    Cleared(usize),
}

#[derive(Clone, Debug)]
struct Bridged {
    name: Arc<str>,
    hidden: bool,
}

#[derive(Debug)]
struct Queued {
    bucket: Arc<str>,
    what: What,
    chain: Option<Chain>,
    /// Not everybody may see the records of the bucket, and nobody has said that
    /// their events may be seen all the same.
    hidden: bool,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Bridge {
    prefix: String,
    buckets: Option<HashSet<String>>,
    queue: VecDeque<Queued>,
    /// Chains of unpublished commits that rules have made, by their position.
    chains: HashMap<usize, Chain>,
    /// It was said that changes are dropped.
    warned: bool,
}

impl Bridge {
    pub fn new(settings: StoreEvents) -> Self {
        Bridge {
            prefix: settings.prefix,
            buckets: settings.buckets.map(HashSet::from_iter),
            queue: VecDeque::new(),
            chains: HashMap::new(),
            warned: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.chains.is_empty()
    }

    /// The server's own buckets are never bridged.
    fn wants(&self, bucket: &str) -> bool {
        !bucket.starts_with(RESERVED)
            && self.buckets.as_ref().is_none_or(|buckets| buckets.contains(bucket))
    }

    /// A bucket that is bridged.
    fn bridged(&self, bucket: &Bucket) -> Bridged {
        let hides = bucket.definition().rows.as_ref().is_some_and(|rows| rows.hides());
        Bridged { name: bucket.name().into(), hidden: hides && self.buckets.is_none() }
    }

    fn push(&mut self, bucket: &Bridged, what: What, chain: Option<&Chain>) {
        if self.queue.len() >= MAX_QUEUED {
            self.queue.pop_front();
            if !std::mem::replace(&mut self.warned, true) {
                log::warn!(
                    target: "noexd::rules",
                    "more than {MAX_QUEUED} changes of records wait to become events; the oldest \
                     are dropped"
                );
            }
        }
        let Bridged { name, hidden } = bucket.clone();
        self.queue.push_back(Queued { bucket: name, what, chain: chain.cloned(), hidden });
    }

    fn push_change(&mut self, bucket: &Bridged, change: Change, chain: Option<&Chain>) {
        let Change { kind, key, old, new, .. } = change;
        match (kind, old, new) {
            (ChangeKind::Replaced, Some(old), Some(new)) => {
                self.push(bucket, What::Deleted(key.clone(), old), chain);
                self.push(bucket, What::Inserted(key, new), chain);
            }
            (ChangeKind::Updated, Some(old), Some(new)) => {
                self.push(bucket, What::Updated(key, old, new), chain);
            }
            (_, _, Some(new)) => self.push(bucket, What::Inserted(key, new), chain),
            (_, Some(old), None) => self.push(bucket, What::Deleted(key, old), chain),
            (_, None, None) => {}
        }
    }
}

impl Queued {
    fn event(self, prefix: &str) -> NewEvent {
        let (kind, members) = match self.what {
            What::Inserted(key, row) => {
                ("inserted", vec![("key", key.to_json()), ("record", row.to_json())])
            }
            What::Updated(key, old, new) => (
                "updated",
                vec![
                    ("key", key.to_json()),
                    ("oldRecord", old.to_json()),
                    ("newRecord", new.to_json()),
                ],
            ),
            What::Deleted(key, row) => {
                ("deleted", vec![("key", key.to_json()), ("record", row.to_json())])
            }
            What::Cleared(count) => ("cleared", vec![("count", Json::Number(count as f64))]),
        };
        let mut data = Object::with_capacity(members.len() + 2);
        data.insert("type", Json::from(kind));
        data.insert("bucket", Json::from(&*self.bucket));
        for (name, value) in members {
            data.insert(name, value);
        }
        let topic = format!("{prefix}.{}.{kind}", self.bucket);
        NewEvent { source: Source::Store, ..NewEvent::new(&topic, data) }
    }
}

impl Engine {
    /// Notes that the commits since `first` were made by a rule.
    pub(super) fn chain_commits(&mut self, first: usize, chain: &Chain) {
        let last = self.commits.unpublished.len();
        if let Some(bridge) = self.rules.as_mut().and_then(|side| side.bridge.as_mut()) {
            bridge.chains.extend((first..last).map(|at| (at, chain.clone())));
        }
    }

    /// Queues what is to become events.
    pub(in crate::engine) fn bridge_commits(&mut self) {
        let Some(bridge) = self.rules.as_mut().and_then(|side| side.bridge.as_mut()) else {
            // Nobody else wants to know; the room is for the next ones.
            return self.commits.unpublished.clear();
        };
        let commits = std::mem::take(&mut self.commits.unpublished);
        let mut chains = std::mem::take(&mut bridge.chains);
        for (at, commit) in commits.into_iter().enumerate() {
            let chain = chains.remove(&at);
            for (id, count) in commit.cleared {
                if let Some(bucket) = self.store.bucket(id).filter(|b| bridge.wants(b.name()))
                    && count > 0
                {
                    let bridged = bridge.bridged(bucket);
                    bridge.push(&bridged, What::Cleared(count), chain.as_ref());
                }
            }
            let mut changes = commit.changes;
            // A transaction is committed by buckets and kinds of changes.
            changes.sort_by_key(|change| change.written);
            let mut last: Option<(crate::store::BucketId, Option<Bridged>)> = None;
            for change in changes {
                let bucket_id = change.bucket;
                let known = last.as_ref().filter(|(id, _)| *id == bucket_id);
                let name = match known {
                    Some((_, name)) => name.clone(),
                    None => {
                        let bucket = self.store.bucket(bucket_id);
                        let wanted = bucket.filter(|bucket| bridge.wants(bucket.name()));
                        wanted.map(|bucket| bridge.bridged(bucket))
                    }
                };
                if let Some(name) = &name {
                    bridge.push_change(name, change, chain.as_ref());
                }
                last = Some((bucket_id, name));
            }
        }
    }

    /// Makes one queued change an event and runs what it triggers. False when
    /// nothing is queued.
    pub(in crate::engine) fn run_store_event(&mut self) -> bool {
        let Some(bridge) = self.rules.as_mut().and_then(|side| side.bridge.as_mut()) else {
            return false;
        };
        let Some(queued) = bridge.queue.pop_front() else {
            bridge.warned = false;
            return false;
        };
        let chain = queued.chain.clone();
        let hidden = queued.hidden;
        let event = queued.event(&bridge.prefix);
        self.hide_store_events(hidden);
        self.with_rules(|core, cx| match &chain {
            Some(chain) => {
                core.emit_from(chain, event, cx);
            }
            None => {
                core.emit(event, cx);
            }
        });
        self.hide_store_events(false);
        true
    }

    fn hide_store_events(&mut self, hide: bool) {
        if let Some(side) = &mut self.rules {
            side.hides_store_events = hide;
        }
    }
}
