//! Row rules for one principal, and the decisions that follow from them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::budget::Budget;
use crate::json::{Json, Object, Raw};
use crate::protocol::{ErrorCode, OpError};
use crate::store::{Bucket, BucketId, Filter, Layout, Row};

/// One rule: which records it lets through.
#[derive(Clone, Debug)]
pub enum Bound {
    All,
    Some(Arc<Selected>),
}

/// A filter with its text.
#[derive(Debug)]
pub struct Selected {
    pub json: Arc<Json>,
    pub filter: Arc<Filter>,
}

impl Bound {
    /// No record at all. Fails closed: also what stands for a filter that cannot
    /// be compiled.
    pub fn nothing(layout: &Layout, key: &str) -> Bound {
        let none: Object = [(key, Json::Array(Vec::new()))].into_iter().collect();
        let json = Json::Object(none);
        let filter = Filter::from_json(layout, &json).unwrap_or_default();
        Bound::Some(Arc::new(Selected { json: Arc::new(json), filter: Arc::new(filter) }))
    }

    pub(super) fn of(layout: &Layout, key: &str, filter: Object) -> Bound {
        let json = Json::Object(filter);
        match Filter::from_json(layout, &json) {
            Ok(filter) => {
                Bound::Some(Arc::new(Selected { json: Arc::new(json), filter: Arc::new(filter) }))
            }
            // It was checked when it was defined: only a value can be wrong.
            Err(_) => Bound::nothing(layout, key),
        }
    }

    /// False also where the budget ends before that is known.
    pub fn allows(&self, row: &Row, budget: &Budget) -> bool {
        match self {
            Bound::All => true,
            Bound::Some(selected) => selected.filter.matches(row, budget),
        }
    }

    pub fn filter(&self) -> Option<&Arc<Filter>> {
        match self {
            Bound::All => None,
            Bound::Some(selected) => Some(&selected.filter),
        }
    }

    pub fn json(&self) -> Option<&Arc<Json>> {
        match self {
            Bound::All => None,
            Bound::Some(selected) => Some(&selected.json),
        }
    }

    /// `filter`, and what may be seen at all.
    #[must_use]
    pub fn narrow(&self, filter: Filter) -> Filter {
        match self {
            Bound::All => filter,
            Bound::Some(selected) => filter.and(&selected.filter),
        }
    }
}

/// The row rules of a bucket for one principal.
#[derive(Clone, Debug)]
pub struct BoundRules {
    pub read: Bound,
    pub insert: Bound,
    pub update: Bound,
    pub delete: Bound,
    /// What the server writes.
    pub set: Vec<(Box<str>, Json)>,
}

/// Which rule refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    Insert,
    Update,
    Delete,
}

impl Decided {
    pub const fn as_str(self) -> &'static str {
        match self {
            Decided::Insert => "insert",
            Decided::Update => "update",
            Decided::Delete => "delete",
        }
    }
}

/// One of the four rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleName {
    Read,
    Insert,
    Update,
    Delete,
}

impl RuleName {
    pub const fn as_str(self) -> &'static str {
        match self {
            RuleName::Read => "read",
            RuleName::Insert => "insert",
            RuleName::Update => "update",
            RuleName::Delete => "delete",
        }
    }
}

impl BoundRules {
    /// The rule of that name.
    pub fn named(&self, name: RuleName) -> &Bound {
        match name {
            RuleName::Read => &self.read,
            RuleName::Insert => &self.insert,
            RuleName::Update => &self.update,
            RuleName::Delete => &self.delete,
        }
    }

    /// Nothing is there, and nothing may be written.
    pub fn closed(layout: &Layout, key: &str) -> BoundRules {
        let none = Bound::nothing(layout, key);
        BoundRules {
            read: none.clone(),
            insert: none.clone(),
            update: none.clone(),
            delete: none,
            set: Vec::new(),
        }
    }

    pub fn rule(&self, rule: Decided) -> &Bound {
        match rule {
            Decided::Insert => &self.insert,
            Decided::Update => &self.update,
            Decided::Delete => &self.delete,
        }
    }

    /// # Errors
    /// `Row rule "{rule}" of bucket "{b}" refuses this record`, or the budget's.
    pub(in crate::store) fn require(
        &self,
        rule: Decided,
        bucket: &Bucket,
        row: &Row,
        budget: &Budget,
    ) -> Result<(), OpError> {
        if self.rule(rule).allows(row, budget) {
            return Ok(());
        }
        budget.check()?;
        let text = format!(
            "Row rule \"{}\" of bucket \"{}\" refuses this record",
            rule.as_str(),
            bucket.name()
        );
        Err(OpError::new(ErrorCode::Forbidden, text))
    }

    /// An update must leave what the server writes as it is.
    ///
    /// # Errors
    /// `Field "{f}" of bucket "{b}" is set by the server`
    pub(in crate::store) fn check_kept(
        &self,
        bucket: &Bucket,
        old: &Row,
        new: &Row,
    ) -> Result<(), OpError> {
        for (name, _) in &self.set {
            let field = bucket.layout().field(name);
            let text = |row: &Row| row.field(&field).unwrap_or(Raw::NULL).text().to_owned();
            if text(old) != text(new) {
                return Err(set_by_server(bucket, name));
            }
        }
        Ok(())
    }
}

/// `Field "{f}" of bucket "{b}" is set by the server`
pub(in crate::store) fn set_by_server(bucket: &Bucket, field: &str) -> OpError {
    let text = format!("Field \"{field}\" of bucket \"{}\" is set by the server", bucket.name());
    OpError::new(ErrorCode::Forbidden, text)
}

/// What somebody sees of the buckets that a request may touch.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// `None`: the rules of the bucket do not apply.
    buckets: HashMap<BucketId, Option<Arc<BoundRules>>>,
}

impl Sight {
    pub fn insert(&mut self, bucket: BucketId, rules: Option<Arc<BoundRules>>) {
        self.buckets.insert(bucket, rules);
    }

    pub fn knows(&self, bucket: BucketId) -> bool {
        self.buckets.contains_key(&bucket)
    }

    /// The rules that apply. A bucket with rules that nobody has bound is closed.
    pub fn of(&self, bucket: &Bucket) -> Option<Arc<BoundRules>> {
        bucket.definition().rows.as_ref()?;
        match self.buckets.get(&bucket.id()) {
            Some(rules) => rules.clone(),
            None => Some(Arc::new(BoundRules::closed(bucket.layout(), bucket.key_field()))),
        }
    }
}
