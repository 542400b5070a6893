//! Every operation for every kind of user: allowed or refused.

use std::collections::BTreeMap;

use noexd::protocol::Operation;
use serde_json::{Value, json};

use super::client::{Client, built_in, create_user, login, start, superadmin};

/// Who is who in built-in mode, and the column of the table below.
///
/// Everybody but the superadmin is an ordinary user. `owner` owns the bucket,
/// the query and the procedure of the table; `lists-r`, `-w` and `-a` have no
/// role, but an access list entry with `read`, `write` or `admin` on all of
/// them and on the topic; `stranger` has nothing.
const COLUMNS: [&str; 10] = [
    "anonymous",
    "stranger",
    "reader",
    "writer",
    "admin",
    "superadmin",
    "owner",
    "lists-r",
    "lists-w",
    "lists-a",
];

/// Operation, tier (`r`, `w`, `a`, `-`), and who may use it in built-in mode:
/// `+` allowed, `.` refused, in the order of the columns. The requests are made
/// by `request` below. The tier decides external mode.
///
///                                 anonymous
///                                 | stranger
///                                 | | reader
///                                 | | | writer
///                                 | | | | admin
///                                 | | | | | superadmin
///                                 | | | | | | owner
///                                 | | | | | | | lists-r, -w, -a
const TABLE: &str = "
store.get                        r  . . + + + + + + . .
store.all                        r  . . + + + + + + . .
store.where                      r  . . + + + + + + . .
store.findOne                    r  . . + + + + + + . .
store.count                      r  . . + + + + + + . .
store.first                      r  . . + + + + + + . .
store.last                       r  . . + + + + + + . .
store.paginate                   r  . . + + + + + + . .
store.sum                        r  . . + + + + + + . .
store.avg                        r  . . + + + + + + . .
store.min                        r  . . + + + + + + . .
store.max                        r  . . + + + + + + . .
store.explain                    r  . . + + + + + + . .
store.groupBy                    r  . . + + + + + + . .
store.find                       r  . . + + + + + + . .
store.query                      r  . . + + + + + + . .
store.live                       r  . . + + + + + + . .
store.subscribe                  r  . . + + + + + + . .
store.unsubscribe                o  . + + + + + + + + +
store.resync                     o  . + + + + + + + + +
store.moveWindow                 o  . + + + + + + + + +
store.subscribeMany              o  . + + + + + + + + +
store.buckets                    r  . . + + + + . . . .
store.stats                      r  . . + + + + . . . .
store.insert                     w  . . . + + + + . + .
store.update                     w  . . . + + + + . + .
store.delete                     w  . . . + + + + . + .
store.clear                      w  . . . + + + + . + .
store.upsert                     w  . . . + + + + . + .
store.insertMany                 w  . . . + + + + . + .
store.updateMany                 w  . . . + + + + . + .
store.deleteMany                 w  . . . + + + + . + .
store.transaction                w  . . . + + + + . + .
store.defineBucket               a  . . . . + + + . . +
store.dropBucket                 a  . . . . + + + . . +
store.updateBucket               a  . . . . + + + . . +
store.getBucketSchema            a  . . . . + + + . . +
store.defineQuery                a  . . . . + + + . . +
store.undefineQuery              a  . . . . + + + . . +
store.listQueries                a  . . . . + + . . . .
store.backup                     a  . . . . + + . . . .
store.backups                    a  . . . . + + . . . .
store.restore                    a  . . . . + + . . . .
store.deleteBackup               a  . . . . + + . . . .
rules.getFact                    r  . . + + + + . + . .
rules.queryFacts                 r  . . + + + + . + . .
rules.getTimers                  r  . . + + + + . + . .
rules.subscribe                  r  . . + + + + . + . .
rules.getAllFacts                r  . . + + + + . . . .
rules.stats                      r  . . + + + + . . . .
rules.unsubscribe                o  . + + + + + + + + +
rules.emit                       w  . . . + + + . . + .
rules.setFact                    w  . . . + + + . . + .
rules.deleteFact                 w  . . . + + + . . + .
rules.registerRule               a  . . . . + + . . . .
rules.unregisterRule             a  . . . . + + . . . .
rules.updateRule                 a  . . . . + + . . . .
rules.enableRule                 a  . . . . + + . . . .
rules.disableRule                a  . . . . + + . . . .
rules.getRule                    a  . . . . + + . . . .
rules.getRules                   a  . . . . + + . . . .
rules.validateRule               a  . . . . + + . . . .
procedures.get                   r  . . + + + + + + . .
procedures.call                  w  . . . + + + + . + .
procedures.register              a  . . . . + + + . . +
procedures.unregister            a  . . . . + + + . . +
procedures.update                a  . . . . + + + . . +
procedures.list                  a  . . . . + + . . . .
server.stats                     a  . . . . + + . . . .
server.metrics                   a  . . . . + + . . . .
server.setLogLevel               a  . . . . + + . . . .
server.top                       a  . . . . + + . . . .
server.trace                     a  . . . . + + . . . .
server.untrace                   o  . + + + + + + + + +
server.views                     a  . . . . + + . . . .
server.insights                  a  . . . . + + . . . .
server.connections               a  . . . . + + . . . .
server.revokeSessions            a  . . . . + + . . . .
server.disconnect                a  . . . . + + . . . .
server.unrevoke                  a  . . . . + + . . . .
audit.query                      a  . . . . + + . . . .
logic.defineComputed             a  . . . . + + + . . +
logic.dropComputed               a  . . . . + + + . . +
logic.defineView                 a  . . . . + + + . . +
logic.dropView                   a  . . . . + + + . . +
logic.explainView                a  . . . . + + + . . +
logic.queryView                  r  . . + + + + + + . .
logic.subscribeView              r  . . + + + + + + . .
logic.unsubscribeView            o  . + + + + + + + + +
logic.defineConstraint           a  . . . . + + + . . +
logic.dropConstraint             a  . . . . + + . . . .
logic.listConstraints            a  . . . . + + . . . .
logic.listComputed               a  . . . . + + . . . .
logic.listViews                  a  . . . . + + . . . .
logic.evaluateExpr               r  . . + + + + . . . .
access.defineSet                 a  . . . . + + . . . .
access.dropSet                   a  . . . . + + . . . .
access.explain                   a  . . . . + + . . . .
access.listSets                  a  . . . . + + . . . .
session.open                     -  . + + + + + + + + +
session.close                    -  . + + + + + + + + +
session.sync                     -  . + + + + + + + + +
identity.login                   x  + + + + + + + + + +
identity.loginWithSecret         x  + + + + + + + + + +
identity.signup                  x  + + + + + + + + + +
identity.logout                  a  . + + + + + + + + +
identity.whoami                  -  . + + + + + + + + +
identity.refreshSession          -  . + + + + + + + + +
identity.createUser              a  . . . . + + . . . .
identity.getUser                 -  . . . . + + . . . .
identity.updateUser              -  . . . . + + . . . .
identity.deleteUser              a  . . . . + + . . . .
identity.listUsers               -  . . . . + + . . . .
identity.enableUser              a  . . . . + + . . . .
identity.disableUser             a  . . . . + + . . . .
identity.changePassword          a  . . . . . . . . . .
identity.resetPassword           a  . . . . + + . . . .
identity.createRole              a  . . . . . + . . . .
identity.updateRole              -  . . . . . + . . . .
identity.deleteRole              a  . . . . . + . . . .
identity.listRoles               -  . . . . + + . . . .
identity.assignRole              a  . . . . + + . . . .
identity.removeRole              a  . . . . + + . . . .
identity.getUserRoles            -  . . . . + + . . . .
identity.grant                   a  . . . . + + + . . +
identity.revoke                  a  . . . . + + + . . +
identity.getAcl                  -  . + + + + + + + + +
identity.myAccess                -  . + + + + + + + + +
identity.getOwner                -  . + + + + + + + + +
identity.transferOwner           a  . . . . . + + . . .
auth.impersonate                 a  . . . . . + . . . .
auth.login                       x  + + + + + + + + + +
auth.logout                      x  + + + + + + + + + +
auth.whoami                      x  + + + + + + + + + +
";

struct Row {
    operation: &'static str,
    tier: char,
    allowed: Vec<bool>,
}

fn table() -> Vec<Row> {
    TABLE
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            Row {
                operation: words.next().expect("an operation"),
                tier: words.next().and_then(|word| word.chars().next()).expect("a tier"),
                allowed: words.map(|word| word == "+").collect(),
            }
        })
        .collect()
}

/// A request of the operation about the resources of the table. Users and
/// records that it names do not exist, so that nothing much comes of it.
fn request(operation: &str) -> Value {
    let nobody = "nobody";
    match operation {
        "store.subscribe" | "store.query" => json!({"query": "own-maps"}),
        "store.transaction" => {
            json!({"operations": [{"op": "insert", "bucket": "own", "data": {"id": "1"}}]})
        }
        "store.defineBucket"
        | "store.dropBucket"
        | "store.updateBucket"
        | "store.getBucketSchema" => json!({"name": "own"}),
        "store.defineQuery" | "store.undefineQuery" => json!({"name": "own-maps"}),
        "procedures.register" => json!({"procedure": {"name": "own-steps"}}),
        "logic.defineView" => json!({"definition": {"name": "own-maps"}}),
        "logic.defineConstraint" => json!({"constraint": {"on": "own"}}),
        "logic.dropView" | "logic.explainView" | "logic.queryView" | "logic.subscribeView" => {
            json!({"name": "own-maps"})
        }
        "identity.updateRole" | "identity.deleteRole" => json!({"roleId": nobody}),
        "identity.grant" | "identity.revoke" => json!({
            "subjectType": "user", "subjectId": nobody, "resourceType": "bucket",
            "resourceName": "own", "operations": ["read"],
        }),
        "identity.transferOwner" => {
            json!({"resourceType": "bucket", "resourceName": "own", "newOwnerId": nobody})
        }
        "identity.changePassword" => {
            json!({"userId": nobody, "currentPassword": "x", "newPassword": "y"})
        }
        "auth.impersonate" => json!({"userId": nobody, "roles": []}),
        "identity.createUser" | "identity.signup" => json!({"username": "x", "password": "x"}),
        "server.revokeSessions" | "server.unrevoke" | "server.disconnect" => {
            json!({"userId": nobody})
        }
        other if other.starts_with("procedures.") => json!({"name": "own-steps"}),
        "server.trace" => json!({"connectionId": "conn-0"}),
        other if other.starts_with("rules.") => {
            json!({"key": "map.x", "topic": "map.x", "pattern": "map.x"})
        }
        other if other.starts_with("identity.") => json!({"userId": nobody, "roleName": nobody}),
        _ => json!({"bucket": "own"}),
    }
}

#[test]
fn the_table_has_every_operation() {
    let rows = table();
    let named: BTreeMap<&str, char> = rows.iter().map(|row| (row.operation, row.tier)).collect();
    assert_eq!(named.len(), rows.len(), "no operation twice");
    for operation in Operation::ALL {
        let tier = named.get(operation.name()).copied();
        let tier = tier.unwrap_or_else(|| panic!("{} is not in the table", operation.name()));
        let own = operation.tier().map_or("-", |tier| &tier.as_str()[..1]);
        let matches = match tier {
            // Own subscriptions are `read` for the audit log only; logins are
            // `admin` for it.
            'o' => own == "r",
            'x' => own == "-" || own == "a",
            tier => own == tier.to_string(),
        };
        assert!(matches, "{}: {own} is not {tier}", operation.name());
    }
    assert_eq!(rows.len(), Operation::ALL.len(), "nothing that does not exist");
    assert!(rows.iter().all(|row| row.allowed.len() == COLUMNS.len()));
}

/// Whether the gate, or the identity handler in its place, let it through.
fn passes(answer: &Result<Value, super::client::Refusal>) -> bool {
    !matches!(answer, Err(refusal) if ["UNAUTHORIZED", "FORBIDDEN"].contains(&&*refusal.code)
        // A login that fails has passed.
        && !refusal.message.starts_with("Invalid "))
}

/// What a request names, as `access.explain` is asked about it.
fn resource(request: &Value) -> &str {
    let places = [
        "/bucket",
        "/query",
        "/name",
        "/key",
        "/operations/0/bucket",
        "/procedure/name",
        "/definition/name",
        "/constraint/on",
    ];
    places.iter().find_map(|place| request.pointer(place)?.as_str()).unwrap_or("*")
}

/// Whether whoever is asked about may do it, as the server explains it. `None`:
/// it depends on more than who he is.
fn explained(admin: &mut Client, operation: &str, who: &Value) -> Option<bool> {
    let depends = [
        "identity.changePassword",
        "identity.updateUser",
        "identity.grant",
        "identity.revoke",
        "identity.transferOwner",
    ];
    if depends.contains(&operation) {
        return None;
    }
    let request = request(operation);
    let mut asked = who.clone();
    asked["operation"] = json!(operation);
    asked["resource"] = json!(resource(&request));
    let answer = admin.ok("access.explain", asked);
    let allowed = answer["allowed"].as_bool();
    assert_eq!(allowed, Some(answer["error"].is_null()), "{operation}: {answer}");
    let last = answer["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    assert_eq!(answer["decidedBy"], last["step"], "{operation}: {answer}");
    assert_eq!(last["result"], if allowed == Some(true) { "allow" } else { "deny" }, "{answer}");
    allowed
}

struct World {
    admin: Client,
    owner: String,
    lists: Vec<(String, &'static str)>,
}

impl World {
    /// The resources of the table as they should be, whatever was done to them.
    fn restore(&mut self) {
        let own = json!({"key": "id", "schema": {"id": {"type": "string"}}});
        let query = json!({"bucket": "own"});
        let count = json!({"action": "store.count", "bucket": "own", "as": "n"});
        let steps = json!({"name": "own-steps", "steps": [count]});
        for (operation, fields) in [
            ("store.defineBucket", json!({"name": "own", "config": own})),
            ("store.defineQuery", json!({"name": "own-maps", "config": query})),
            ("procedures.register", json!({"procedure": steps})),
        ] {
            if let Err(refusal) = self.admin.call(operation, fields) {
                let expected = ["ALREADY_EXISTS", "UNKNOWN_OPERATION"];
                assert!(expected.contains(&&*refusal.code), "{operation}: {refusal}");
            }
        }
        let resources = [
            ("bucket", "own"),
            ("query", "own-maps"),
            ("topic", "map.x"),
            ("procedure", "own-steps"),
        ];
        for (kind, name) in resources {
            if kind != "topic" && (kind != "procedure" || self.owner_of(kind, name).is_string()) {
                self.admin.ok(
                    "identity.transferOwner",
                    json!({"resourceType": kind, "resourceName": name, "newOwnerId": self.owner}),
                );
            }
            for (user, operation) in &self.lists {
                self.admin.ok(
                    "identity.grant",
                    json!({"subjectType": "user", "subjectId": user, "resourceType": kind,
                           "resourceName": name, "operations": [operation]}),
                );
            }
        }
    }

    fn owner_of(&mut self, kind: &str, name: &str) -> Value {
        let answer =
            self.admin.ok("identity.getOwner", json!({"resourceType": kind, "resourceName": name}));
        answer["owner"]["userId"].clone()
    }
}

#[test]
fn built_in_mode() {
    let server = built_in(json!({"audit": true, "auth": {
        "builtIn": true, "adminSecret": super::client::SECRET,
        "signup": {"rateLimit": {"maxAttempts": 1_000_000}},
        "loginRateLimit": {"maxAttempts": 1_000_000}}}));
    let mut admin = superadmin(&server);
    let mut users = BTreeMap::new();
    for name in ["stranger", "reader", "writer", "admin", "owner", "lists-r", "lists-w", "lists-a"]
    {
        let roles: &[&str] =
            if ["reader", "writer", "admin"].contains(&name) { &[name] } else { &[] };
        users.insert(name, create_user(&mut admin, name, roles));
    }
    let lists = [("lists-r", "read"), ("lists-w", "write"), ("lists-a", "admin")]
        .map(|(name, operation)| (users[name].clone(), operation));
    let mut world = World { admin, owner: users["owner"].clone(), lists: lists.into() };
    world.restore();
    let mut wrong = Vec::new();
    for (column, name) in COLUMNS.iter().enumerate() {
        let connect = || match *name {
            "anonymous" => Client::connect(&server),
            "superadmin" => superadmin(&server),
            name => login(&server, name).0,
        };
        let mut client = connect();
        let who = match *name {
            "anonymous" => json!({"anonymous": true}),
            "superadmin" => json!({"userId": client.ok("identity.whoami", json!({}))["userId"]}),
            name => json!({"userId": users[name]}),
        };
        for row in table() {
            let expected = row.allowed[column];
            let why = explained(&mut world.admin, row.operation, &who);
            if why.is_some_and(|allowed| allowed != expected) {
                wrong.push(format!("{name}: {} is explained as {why:?}", row.operation));
            }
            let answer = client.call(row.operation, request(row.operation));
            let passed = passes(&answer);
            if passed != expected {
                wrong.push(format!("{name}: {} {answer:?}", row.operation));
            }
            if passed && !matches!(row.tier, 'r' | 'o' | '-') {
                world.restore();
            }
            if row.operation.ends_with(".logout") {
                client = connect();
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn external_mode() {
    let server = start(json!({
        "audit": true,
        "buckets": {"own": {"key": "id", "schema": {"id": {"type": "string"}}}},
        "auth": {"tokens": {
            "t-reader": {"userId": "reader", "roles": ["reader"]},
            "t-writer": {"userId": "writer", "roles": ["writer"]},
            "t-admin": {"userId": "admin", "roles": ["admin"]},
            "t-custom": {"userId": "custom", "roles": ["billing"]},
            "t-mixed": {"userId": "mixed", "roles": ["billing", "reader", "superadmin"]},
            "t-none": {"userId": "none", "roles": []},
        }},
    }));
    let mut wrong = Vec::new();
    let mut root = Client::connect(&server);
    root.ok("auth.login", json!({"token": "t-admin"}));
    let roles = |name: &str| match name {
        "custom" => json!(["billing"]),
        "mixed" => json!(["billing", "reader", "superadmin"]),
        "none" => json!([]),
        name => json!([name]),
    };
    for (name, tiers) in [
        ("anonymous", ""),
        ("reader", "r"),
        ("writer", "rw"),
        ("admin", "rwa"),
        ("custom", "rwa"),
        ("mixed", "r"),
        ("none", "rwa"),
    ] {
        let mut client = Client::connect(&server);
        for row in table() {
            if name != "anonymous" {
                client.ok("auth.login", json!({"token": format!("t-{name}")}));
            }
            let expected = match row.tier {
                'x' => true,
                _ if name == "anonymous" => false,
                'o' | '-' => true,
                tier => tiers.contains(tier),
            };
            let who = match name {
                "anonymous" => json!({"anonymous": true}),
                name => json!({"userId": name, "roles": roles(name)}),
            };
            let family = row.operation.split('.').next();
            let why = explained(&mut root, row.operation, &who);
            if family != Some("identity") && why.is_some_and(|allowed| allowed != expected) {
                wrong.push(format!("{name}: {} is explained as {why:?}", row.operation));
            }
            let answer = client.call(row.operation, request(row.operation));
            if passes(&answer) != expected {
                wrong.push(format!("{name}: {} {answer:?}", row.operation));
            }
            if let Err(refusal) = &answer
                && refusal.code == "FORBIDDEN"
            {
                let tier = match row.tier {
                    'r' => "read",
                    'w' => "write",
                    _ => "admin",
                };
                let operation = row.operation;
                let text = format!("Role level insufficient for {operation} (requires {tier})");
                assert_eq!(refusal.message, text);
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_open_server_checks_nothing() {
    let server = start(json!({"audit": true}));
    let mut client = Client::connect(&server);
    for row in table() {
        let answer = client.call(row.operation, request(row.operation));
        assert!(passes(&answer), "{}: {answer:?}", row.operation);
        if ["auth.", "identity."].iter().any(|family| row.operation.starts_with(family)) {
            assert_eq!(answer.expect_err("not configured").code, "UNKNOWN_OPERATION");
        }
    }
}
