//! Services: what rules may call outside of themselves, and the cache of what
//! lookups got from them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use crate::json::{Json, write_string};

use super::value::write_canonical;

/// Names one call that is answered later; never reused.
pub type Ticket = u64;

/// Something that rules can call with `call_service` and `lookups`.
///
/// A program that embeds the server registers its services by name. The name
/// `store` is taken by the built-in service.
///
/// ```
/// use noexd::Server;
/// use noexd::hooks::rules::{RuleService, ServiceError};
/// use serde_json::{Value, json};
///
/// struct Prices;
///
/// impl RuleService for Prices {
///     fn call(&mut self, method: &str, args: &[Value]) -> Result<Value, ServiceError> {
///         match (method, args) {
///             ("of", [Value::String(item)]) => Ok(json!({"item": item, "price": 7})),
///             ("of", _) => Err(ServiceError::Failed("of wants the name of an item".into())),
///             _ => Err(ServiceError::UnknownMethod),
///         }
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .host("127.0.0.1")
///     .port(0)
///     .rule_service("prices", Box::new(Prices))
///     .build()?;
/// # Ok(())
/// # }
/// ```
pub trait RuleService: Send {
    /// Answers at once. Runs on the event-loop thread: must not block. A panic
    /// is caught and fails the call.
    ///
    /// # Errors
    /// [`ServiceError::UnknownMethod`] if there is no such method, otherwise
    /// the text that rules see as `message` of a `catch` variable.
    fn call(&mut self, method: &str, args: &[Value]) -> Result<Value, ServiceError>;

    /// Answers at once or later; what the engine calls. The default answers at
    /// once through [`RuleService::call`].
    ///
    /// # Errors
    /// As [`RuleService::call`].
    fn begin(
        &mut self,
        method: &str,
        args: &[Value],
        ticket: Ticket,
    ) -> Result<ServiceReply, ServiceError> {
        let _ = ticket;
        self.call(method, args).map(ServiceReply::Now)
    }
}

/// A slow computation on behalf of a service.
pub type ServiceJob = Box<dyn FnOnce() -> Result<Value, String> + Send>;

/// How a service answers.
pub enum ServiceReply {
    /// With this.
    Now(Value),
    /// The result of this function, which runs on the worker thread. Must not
    /// touch anything of the server.
    Job(ServiceJob),
    /// The program will answer with the ticket of the call. Until then the
    /// execution of the rule is set aside; everything else goes on.
    Later,
}

impl fmt::Debug for ServiceReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceReply::Now(value) => f.debug_tuple("Now").field(value).finish(),
            ServiceReply::Job(_) => f.write_str("Job"),
            ServiceReply::Later => f.write_str("Later"),
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// The service has no such method.
    UnknownMethod,
    /// It has failed; the text is what rules see.
    Failed(String),
}

/// The registered services by name.
#[derive(Default)]
pub(super) struct Services(HashMap<Box<str>, Box<dyn RuleService>>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Services {
    pub(super) fn insert(&mut self, name: &str, service: Box<dyn RuleService>) {
        self.0.insert(name.into(), service);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// `None`: no such service.
    pub(super) fn begin(
        &mut self,
        service: &str,
        method: &str,
        args: &[Json],
        ticket: Ticket,
    ) -> Option<Result<ServiceReply, ServiceError>> {
        let target = self.0.get_mut(service)?;
        let args: Vec<Value> = args.iter().map(Value::from).collect();
        // What the service has half done is its own business; nothing of the
        // engine is touched by the call.
        Some(catch_unwind(AssertUnwindSafe(|| target.begin(method, &args, ticket))).unwrap_or_else(
            |panic| {
                let text = panic_text(panic.as_ref());
                Err(ServiceError::Failed(format!("Service \"{service}\" panicked: {text}")))
            },
        ))
    }
}

/// The text of a panic's payload.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// Results of lookups that may be used again.
const CACHE: usize = 10_000;

/// Results of lookups, the least recently used dropped first.
#[derive(Debug, Default)]
pub(super) struct LookupCache {
    entries: HashMap<Arc<[u8]>, Cached>,
    by_use: BTreeMap<u64, Arc<[u8]>>,
    by_expiry: BTreeMap<(u64, u64), Arc<[u8]>>,
    uses: u64,
}

#[derive(Debug)]
struct Cached {
    value: Json,
    used: u64,
    /// Monotonic milliseconds, and a number that makes it unique.
    expires: (u64, u64),
}

impl LookupCache {
    /// The key of a call: equal for equal arguments.
    pub(super) fn key(service: &str, method: &str, args: &[Json]) -> Arc<[u8]> {
        let mut key = Vec::new();
        write_string(&mut key, service);
        write_string(&mut key, method);
        for arg in args {
            write_canonical(&mut key, arg);
            key.push(b',');
        }
        key.into()
    }

    pub(super) fn get(&mut self, key: &[u8], now: u64) -> Option<&Json> {
        self.purge(now);
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&entry.value)
    }

    pub(super) fn put(&mut self, key: &Arc<[u8]>, value: Json, ttl: u64, now: u64) {
        self.remove(key);
        while self.entries.len() >= CACHE {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, key)| Arc::clone(key)) else {
                break;
            };
            self.remove(&oldest);
        }
        self.uses += 1;
        let expires = (now.saturating_add(ttl), self.uses);
        self.by_use.insert(self.uses, Arc::clone(key));
        self.by_expiry.insert(expires, Arc::clone(key));
        self.entries.insert(Arc::clone(key), Cached { value, used: self.uses, expires });
    }

    fn remove(&mut self, key: &Arc<[u8]>) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.by_expiry.remove(&entry.expires);
        }
    }

    /// An entry is valid for its time, the last millisecond not included.
    fn purge(&mut self, now: u64) {
        while let Some((&(expires, _), key)) = self.by_expiry.first_key_value() {
            if expires > now {
                return;
            }
            let key = Arc::clone(key);
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire() {
        let mut cache = LookupCache::default();
        let key = LookupCache::key("users", "get", &[Json::Number(1.0)]);
        assert_eq!(cache.get(&key, 0), None);
        cache.put(&key, Json::from("Ann"), 100, 0);
        assert_eq!(cache.get(&key, 99), Some(&Json::from("Ann")));
        assert_eq!(cache.get(&key, 100), None);
        assert!(cache.entries.is_empty() && cache.by_use.is_empty() && cache.by_expiry.is_empty());
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = LookupCache::default();
        let key = |number: usize| LookupCache::key("s", "m", &[Json::Number(number as f64)]);
        for number in 0..=CACHE {
            cache.put(&key(number), Json::Null, 1000, 0);
            assert!(cache.get(&key(0), 0).is_some());
        }
        assert_eq!(cache.entries.len(), CACHE);
        assert!(cache.get(&key(1), 0).is_none());
        assert!(cache.get(&key(2), 0).is_some());
        assert_eq!((cache.by_use.len(), cache.by_expiry.len()), (CACHE, CACHE));
    }

    #[test]
    fn keys_tell_calls_apart() {
        let key = LookupCache::key;
        assert_ne!(key("a", "b", &[]), key("ab", "", &[]));
        assert_ne!(key("a", "b", &[Json::from("1")]), key("a", "b", &[Json::Number(1.0)]));
        assert_ne!(
            key("a", "b", &[Json::Null, Json::Null]),
            key("a", "b", &[Json::from(vec![Json::Null, Json::Null])])
        );
    }
}
