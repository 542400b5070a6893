//! The fields of each operation, for people who write requests by hand: in the
//! order in which words without a name fill them, the necessary ones first.

use super::Operation;

impl Operation {
    /// See the module. A field that is not here can still be sent.
    pub const fn fields(self) -> &'static [&'static str] {
        use Operation::*;
        match self {
            StoreGet => &["bucket", "key"],
            StoreAll | StoreClear => &["bucket"],
            StoreWhere | StoreFindOne | StoreCount => &["bucket", "filter"],
            StoreFirst | StoreLast => &["bucket", "n"],
            StorePaginate => &["bucket", "limit", "after"],
            StoreSum | StoreAvg | StoreMin | StoreMax => &["bucket", "field", "filter"],
            StoreGroupBy => &["bucket", "field", "aggregate", "filter"],
            StoreFind => &["bucket", "filter", "sort", "limit", "offset", "fields", "aggregate"],
            StoreLive => &[
                "bucket",
                "filter",
                "sort",
                "limit",
                "offset",
                "fields",
                "aggregate",
                "mode",
                "positions",
                "coalesce",
                "window",
                "resume",
            ],
            StoreQuery => &["query", "params"],
            StoreExplain => &["bucket", "filter", "query"],
            StoreSubscribe => {
                &["query", "params", "mode", "positions", "coalesce", "window", "resume"]
            }
            StoreMoveWindow => &["subscriptionId", "offset", "limit"],
            StoreSubscribeMany => &["subscriptions"],
            StoreUnsubscribe | StoreResync | RulesUnsubscribe | LogicUnsubscribeView
            | ServerUntrace => &["subscriptionId"],
            StoreInsert | StoreUpsert => &["bucket", "data"],
            StoreUpdate => &["bucket", "key", "data", "apply", "expect"],
            StoreDelete => &["bucket", "key", "expect"],
            StoreInsertMany => &["bucket", "data", "onConflict", "answer"],
            StoreUpdateMany => &["bucket", "filter", "data", "apply", "limit"],
            StoreDeleteMany => &["bucket", "filter", "limit"],
            StoreTransaction => &["operations"],
            StoreDefineBucket | StoreDefineQuery => &["name", "config", "ifMissing"],
            StoreUpdateBucket => &["name", "updates"],
            StoreDropBucket | StoreGetBucketSchema | StoreUndefineQuery | StoreBackup
            | StoreRestore | StoreDeleteBackup => &["name"],
            StoreBuckets | StoreStats | StoreListQueries | StoreBackups => &[],
            RulesGetFact | RulesDeleteFact => &["key"],
            RulesSetFact => &["key", "value"],
            RulesQueryFacts | RulesGetTimers | RulesSubscribe => &["pattern"],
            RulesEmit => &["topic", "data", "correlationId", "causationId"],
            RulesRegisterRule | RulesValidateRule => &["rule"],
            RulesUpdateRule => &["ruleId", "updates"],
            RulesUnregisterRule | RulesEnableRule | RulesDisableRule | RulesGetRule => &["ruleId"],
            RulesGetAllFacts | RulesStats | RulesGetRules => &[],
            ProceduresCall => &["name", "input"],
            ProceduresRegister => &["procedure"],
            ProceduresUpdate => &["name", "updates"],
            ProceduresGet | ProceduresUnregister => &["name"],
            ProceduresList => &[],
            ServerStats => &["details"],
            ServerMetrics => &["names"],
            ServerTop => &["sort", "limit", "connectionId"],
            ServerViews => &["query", "bucket", "sort", "limit"],
            ServerSetLogLevel => &["filter", "ttlMs"],
            ServerTrace => &["bucket", "connectionId", "ruleId", "maxEntries", "durationMs"],
            ServerRevokeSessions => &["userId", "role"],
            ServerDisconnect => &["connectionId", "userId", "remoteAddress"],
            ServerUnrevoke => &["userId"],
            ServerInsights | ServerConnections => &[],
            AuditQuery => &["userId", "operation", "result", "from", "to", "limit", "offset"],
            IdentityLogin => &["username", "password"],
            IdentityLoginWithSecret => &["secret"],
            IdentitySignup => &["username", "password", "displayName", "email"],
            IdentityCreateUser => {
                &["username", "password", "displayName", "email", "enabled", "metadata"]
            }
            IdentityUpdateUser => &["userId", "displayName", "email", "metadata"],
            IdentityChangePassword => &["userId", "currentPassword", "newPassword"],
            IdentityResetPassword => &["userId", "newPassword"],
            IdentityDeleteUser | IdentityEnableUser | IdentityDisableUser | IdentityGetUser
            | IdentityGetUserRoles => &["userId"],
            IdentityListUsers => &["page", "pageSize"],
            IdentityCreateRole => &["name", "description", "permissions"],
            IdentityUpdateRole => &["roleId", "description", "permissions"],
            IdentityDeleteRole => &["roleId"],
            IdentityAssignRole | IdentityRemoveRole => &["userId", "roleName"],
            IdentityGrant | IdentityRevoke => {
                &["subjectType", "subjectId", "resourceType", "resourceName", "operations"]
            }
            IdentityTransferOwner => &["resourceType", "resourceName", "newOwnerId"],
            IdentityGetAcl | IdentityGetOwner => &["resourceType", "resourceName"],
            IdentityLogout
            | IdentityWhoami
            | IdentityRefreshSession
            | IdentityListRoles
            | IdentityMyAccess => &[],
            AuthLogin => &["token"],
            AuthImpersonate => &["userId", "ttlMs", "readOnly", "roles"],
            AuthLogout | AuthWhoami => &[],
            SessionOpen => &["session", "commits", "events", "once", "resume"],
            SessionClose | SessionSync => &[],
            LogicDefineComputed => &["bucket", "fields"],
            LogicDropComputed => &["bucket"],
            LogicDefineView => &["definition"],
            LogicDefineConstraint => &["constraint"],
            LogicSubscribeView => &["name", "resume"],
            LogicDropView | LogicExplainView | LogicQueryView | LogicDropConstraint => &["name"],
            LogicListConstraints | LogicListComputed | LogicListViews => &[],
            LogicEvaluateExpr => &["expr", "record"],
            AccessDefineSet => &["name", "bucket", "filter", "field"],
            AccessDropSet => &["name"],
            AccessListSets => &[],
            AccessExplain => &["operation", "resource", "userId", "roles", "key"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Operation, Resource};

    /// What the reference says of the request of each operation.
    fn request(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference");
        let pages = std::fs::read_dir(folder).expect("docs/reference");
        let text: String = pages
            .map(|page| std::fs::read_to_string(page.expect("a page").path()).expect("text"))
            .collect();
        let (_, section) = text.split_once(&format!("\n### {name}\n")).expect(name);
        let line = section.lines().find(|line| line.starts_with("- **Request**")).expect(name);
        line.to_owned()
    }

    #[test]
    fn they_are_those_of_the_reference() {
        for operation in Operation::ALL {
            let line = request(operation.name());
            // Described by another operation's.
            let other = line.split('`').nth(1).and_then(Operation::from_name);
            let line = match other.filter(|other| other != operation) {
                Some(other) => line + &request(other.name()),
                None => line,
            };
            let is_query = line.contains("](../queries.md)") || line.contains("`store.find`");
            for field in operation.fields() {
                let known = line.contains(&format!("`{field}`"));
                assert!(known || is_query, "{}: {field} is not in {line}", operation.name());
            }
            let none = line.contains("**Request**: none");
            assert_eq!(none, operation.fields().is_empty(), "{}: {line}", operation.name());
        }
    }

    #[test]
    fn what_an_operation_touches_comes_first() {
        for operation in Operation::ALL {
            let (Resource::Bucket(field)
            | Resource::Query(field)
            | Resource::Topic(field)
            | Resource::Procedure(field)) = operation.resource()
            else {
                continue;
            };
            let first = field.split('.').next();
            assert_eq!(operation.fields().first().copied(), first, "{}", operation.name());
        }
    }
}
