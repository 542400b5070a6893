//! What a program can take part in: traits that it implements, and their types.
//!
//! | trait | is asked or told | given to |
//! |---|---|---|
//! | [`TokenValidator`] | whether a token is valid, and whose it is | [`Builder::token_validator`] |
//! | [`PermissionCheck`] | whether a request is allowed | [`Builder::permission_check`] |
//! | [`AuditSink`] | every entry of the audit log | [`Builder::audit_sink`] |
//! | [`RuleService`] | by rules, to do or look up something | [`Builder::rule_service`] |
//! | [`Query`], [`IncrementalQuery`] | the result of a query that clients subscribe to | [`Builder::program_query`], [`Builder::incremental_query`] |
//!
//! All of them run on the thread of the server: until they return, nobody is
//! served. What takes long answers later ([`access::Ticket`], [`rules::ServiceReply::Later`]). A
//! panic is caught and counts as an error.
//!
//! [`Builder::token_validator`]: crate::Builder::token_validator
//! [`Builder::permission_check`]: crate::Builder::permission_check
//! [`Builder::audit_sink`]: crate::Builder::audit_sink
//! [`Builder::rule_service`]: crate::Builder::rule_service
//! [`Builder::program_query`]: crate::Builder::program_query
//! [`Builder::incremental_query`]: crate::Builder::incremental_query

pub use access::{PermissionCheck, TokenValidator};
pub use audit::AuditSink;
pub use query::{IncrementalQuery, Query};
pub use rules::RuleService;

/// Who may come in, and do what.
pub mod access {
    pub use crate::access::{
        Answer, Opinion, PermissionCheck, Principal, Roles, Session, Ticket, TokenValidator,
        Verdict,
    };
}

/// What is recorded in the audit log.
pub mod audit {
    pub use crate::address::Address;
    pub use crate::audit::{AuditFilter, AuditSink, Entry, Outcome, Who};
}

/// Queries written in Rust.
pub mod query {
    pub use crate::query::{
        Effect, Group, IncrementalQuery, Page, Query, QueryBucket, QueryCx, RecordChange,
    };
}

/// Services that rules call.
pub mod rules {
    pub use crate::rules::{RuleService, ServiceError, ServiceJob, ServiceReply, Ticket};
}
