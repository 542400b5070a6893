//! Facts, events and rules: the rule engine as a pure state machine.
//!
//! Owns facts, rule definitions, timers and the state of temporal patterns, and
//! evaluates rules. It is told what happens and when ([`Cx`]) and tells its
//! [`Host`] what comes of it: events to push, lines for the log, calls of
//! services, changes to keep. It must not know connections, buckets, files or
//! clocks.
//!
//! How it is put together: definitions are validated as sent ([`Findings`]) and
//! compiled once; a trigger finds its rules through an index of patterns, whose
//! cost does not depend on the number of rules; what is to be done lies on an
//! explicit stack, so that chains cannot exhaust the thread's stack and an
//! execution can wait for a service.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `cron`, `duration`, `pattern`, `regexes`, `report`, `value`
//! 2. `facts`, `index`, `service`, `validate`, `validate/action`, `validate/lookup`,
//!    `validate/trigger`
//! 3. `due`, `event`, `subscriptions`
//! 4. `temporal/alarms`, `temporal/spec`
//! 5. `temporal/completion`
//! 6. `cause`, `temporal/absence`, `temporal/sequence`, `temporal/window`
//! 7. `reference`
//! 8. `condition`
//! 9. `rule`, `validate/condition`
//! 10. `execution`, `temporal`, `timers`
//! 11. `record`
//! 12. `engine`
//! 13. `registry`, `run`, `watched`
//! 14. `perform`

mod cause;
mod condition;
mod cron;
mod due;
mod duration;
mod engine;
mod event;
mod execution;
mod facts;
mod index;
mod pattern;
mod perform;
mod record;
mod reference;
mod regexes;
mod registry;
mod report;
mod rule;
mod run;
mod service;
mod subscriptions;
mod temporal;
mod timers;
mod validate;
mod value;
mod watched;

#[cfg(test)]
mod tests;

pub use engine::{Cx, Group, Host, NewEvent, Options, RuleEngine, STORE_SERVICE, Stats};
pub use event::{Chain, Event};
pub use facts::{Fact, Source};
pub use pattern::{Grammar, Pattern};
pub use record::{RecordKind, RulesChange};
pub use service::{RuleService, ServiceError, ServiceJob, ServiceReply, Ticket};
pub use subscriptions::Subscriptions;
pub use timers::ArmedTimer;
pub use validate::{Findings, Issue};
