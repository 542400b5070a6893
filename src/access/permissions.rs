//! What a permission grants: patterns of operations, lists of buckets and
//! topics (access.md section 8). Rules of external mode and roles of built-in
//! mode share it.

use std::borrow::Cow;

use crate::json::Json;
use crate::protocol::{Family, Tier};
use crate::store::Row;

/// What kind of thing a resource is: `resourceType` of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    Bucket,
    Topic,
    Procedure,
    Query,
}

impl ResourceKind {
    pub const ALL: [ResourceKind; 4] = [Self::Bucket, Self::Topic, Self::Procedure, Self::Query];

    pub const fn as_str(self) -> &'static str {
        match self {
            ResourceKind::Bucket => "bucket",
            ResourceKind::Topic => "topic",
            ResourceKind::Procedure => "procedure",
            ResourceKind::Query => "query",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One thing that somebody wants to do. An operation that touches several
/// buckets asks once for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The `type` of the request; it need not be one that exists.
    pub operation: Cow<'a, str>,
    /// The tier of the operation; unknown operations have none.
    pub tier: Option<Tier>,
    /// Its class in access lists: the tier, but for a transaction that of the
    /// operation inside.
    pub class: Option<Tier>,
    /// What kind of resource the operation works on; `None`: on none.
    pub kind: Option<ResourceKind>,
    /// The resource; `None` is `*`.
    pub name: Option<Cow<'a, str>>,
    /// For `store.subscribe` and `store.query`: the bucket that the declarative query reads.
    pub source: Option<Cow<'a, str>>,
    /// The record that it names, for a check that looks at records.
    pub record: Option<Row>,
}

impl Question<'_> {
    /// The resource as messages have it.
    pub fn resource(&self) -> &str {
        self.name.as_deref().unwrap_or("*")
    }
}

/// Whether `pattern` matches `value`: `*` everything, `x.*` everything that
/// starts with `x.`, anything else itself.
pub fn pattern_matches(pattern: &str, value: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('.') => value.starts_with(prefix),
        _ => pattern == value,
    }
}

/// Operations that are allowed, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    pub allow: Vec<Box<str>>,
    pub buckets: Option<Vec<Box<str>>>,
    pub topics: Option<Vec<Box<str>>>,
}

impl Grant {
    /// A permission as a role has it: `{ allow, buckets?, topics? }`. `None` if
    /// it is malformed: such a permission matches nothing.
    pub fn from_json(json: &Json) -> Option<Grant> {
        let object = json.as_object()?;
        // `bucket` in the place of `buckets` would allow every bucket.
        if object.keys().any(|name| !["allow", "buckets", "topics"].contains(&name)) {
            return None;
        }
        let strings = |json: &Json| -> Option<Vec<Box<str>>> {
            json.as_array()?.iter().map(|element| element.as_str().map(Box::from)).collect()
        };
        let allow = match object.get("allow")? {
            Json::String(pattern) => vec![pattern.clone()],
            list => strings(list)?,
        };
        if allow.iter().any(|pattern| pattern.is_empty()) {
            return None;
        }
        let list = |name| match object.get(name) {
            None => Some(None),
            Some(list) => strings(list).map(Some),
        };
        Some(Grant { allow, buckets: list("buckets")?, topics: list("topics")? })
    }

    pub fn permits(&self, question: &Question<'_>) -> bool {
        self.allow.iter().any(|pattern| pattern_matches(pattern, &question.operation))
            && self.constraint_holds(question)
    }

    /// The first pattern that matches.
    pub fn pattern_for(&self, question: &Question<'_>) -> Json {
        let mut patterns = self.allow.iter();
        let found = patterns.find(|pattern| pattern_matches(pattern, &question.operation));
        found.map_or(Json::Null, |pattern| Json::from(&**pattern))
    }

    /// Which list applies depends on the family of the operation; a list that
    /// does not apply does not restrict.
    fn constraint_holds(&self, question: &Question<'_>) -> bool {
        let in_buckets = || {
            self.buckets.as_ref().is_none_or(|buckets| {
                let listed = |name: &str| buckets.iter().any(|bucket| &**bucket == name);
                listed(question.resource()) || question.source.as_deref().is_some_and(listed)
            })
        };
        match Family::of(&question.operation) {
            Some(Family::Store) => in_buckets(),
            // `logic.*` that work on a bucket or a query are like `store.*`.
            Some(Family::Logic) if question.kind.is_some() => in_buckets(),
            Some(Family::Rules) => self.topics.as_ref().is_none_or(|topics| {
                topics.iter().any(|pattern| pattern_matches(pattern, question.resource()))
            }),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(operation: &'static str, name: &'static str) -> Question<'static> {
        Question {
            operation: operation.into(),
            tier: None,
            class: None,
            kind: Some(ResourceKind::Bucket),
            name: (name != "*").then_some(name.into()),
            source: None,
            record: None,
        }
    }

    fn grant(json: &str) -> Option<Grant> {
        let raw = crate::json::parse(json, 16).expect("valid JSON");
        Grant::from_json(&raw.to_json())
    }

    #[test]
    fn patterns() {
        for (pattern, value, matches) in [
            ("*", "anything", true),
            ("*", "", true),
            ("store.*", "store.get", true),
            ("store.*", "store.", true),
            ("store.*", "store", false),
            ("store.*", "stores.get", false),
            ("till.*", "till.7.opened", true),
            ("store.get", "store.get", true),
            ("store.get", "store.getAll", false),
            ("store.get*", "store.getX", false),
            ("store.get*", "store.get*", true),
            ("**", "x", false),
            ("*.get", "store.get", false),
            (".*", ".x", true),
            (".*", "x", false),
            ("", "", true),
        ] {
            assert_eq!(pattern_matches(pattern, value), matches, "{pattern} on {value}");
        }
    }

    #[test]
    fn buckets_bind_store_operations_only() {
        let limited = grant(r#"{"allow":"*","buckets":["a"]}"#).expect("well-formed");
        assert!(limited.permits(&question("store.get", "a")));
        assert!(!limited.permits(&question("store.get", "b")));
        assert!(!limited.permits(&question("store.stats", "*")));
        assert!(limited.permits(&question("rules.emit", "b")));
        assert!(limited.permits(&question("procedures.call", "b")));
        assert!(limited.permits(&question("server.stats", "*")));
        assert!(limited.permits(&question("logic.queryView", "a")));
        assert!(!limited.permits(&question("logic.queryView", "b")));
        let star = grant(r#"{"allow":"store.*","buckets":["*"]}"#).expect("well-formed");
        assert!(star.permits(&question("store.stats", "*")));
        assert!(!star.permits(&question("store.get", "a")), "no wildcard among buckets");
        let nothing = grant(r#"{"allow":"store.*","buckets":[]}"#).expect("well-formed");
        assert!(!nothing.permits(&question("store.stats", "*")));
    }

    #[test]
    fn a_subscription_is_allowed_by_the_query_or_by_its_source() {
        let limited = grant(r#"{"allow":"store.*","buckets":["maps"]}"#).expect("well-formed");
        let mut subscribe = question("store.subscribe", "all-maps");
        subscribe.kind = Some(ResourceKind::Query);
        assert!(!limited.permits(&subscribe));
        subscribe.source = Some("maps".into());
        assert!(limited.permits(&subscribe));
        subscribe.source = Some("other".into());
        subscribe.name = Some("maps".into());
        assert!(limited.permits(&subscribe));
    }

    #[test]
    fn topics_are_patterns() {
        let limited = grant(r#"{"allow":"rules.*","topics":["till.*","x"]}"#).expect("well-formed");
        assert!(limited.permits(&question("rules.emit", "till.7")));
        assert!(limited.permits(&question("rules.emit", "x")));
        assert!(!limited.permits(&question("rules.emit", "y")));
        assert!(!limited.permits(&question("rules.getAllFacts", "*")));
        assert!(!limited.permits(&question("store.get", "till.7")));
    }

    #[test]
    fn malformed_permissions_grant_nothing() {
        for malformed in [
            "1",
            "null",
            "{}",
            r#"{"allow":1}"#,
            r#"{"allow":""}"#,
            r#"{"allow":["store.get",1]}"#,
            r#"{"allow":["store.get",""]}"#,
            r#"{"allow":"*","buckets":"a"}"#,
            r#"{"allow":"*","buckets":null}"#,
            r#"{"allow":"*","topics":[1]}"#,
        ] {
            assert_eq!(grant(malformed), None, "{malformed}");
        }
        // An empty list is well-formed and matches nothing.
        let nothing = grant(r#"{"allow":[]}"#).expect("well-formed");
        assert!(!nothing.permits(&question("store.get", "a")));
    }
}
