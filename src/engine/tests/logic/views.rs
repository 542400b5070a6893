//! Views: definitions, queries, subscriptions.

use super::*;

fn define(client: &mut Client, members: &str) -> String {
    client.ask(&format!(r#""type":"logic.defineView","definition":{{{members}}}"#))
}

fn query(client: &mut Client, name: &str) -> String {
    client.ask(&format!(r#""type":"logic.queryView","name":"{name}""#))
}

/// Invoices and their clients.
fn shop() -> Client {
    let mut client = Client::new();
    client.bucket("clients", "");
    client.bucket("invoices", "");
    for (id, name) in [(1, "Ada"), (2, "Bob")] {
        client.insert("clients", &format!(r#"{{"id":{id},"name":"{name}"}}"#));
    }
    client
}

const OWED: &str = r#""name":"owed","from":{"i":"invoices","c":"clients"},"join":{"i.client":"c.id"},
    "where":{"i.state":"open","i.total":{"$gt":0}},"groupBy":"c.id",
    "select":{"client":"c.name","bills":{"$count":"*"},"sum":{"$round":[{"$sum":"i.total"},2]}},
    "orderBy":[{"field":"sum","direction":"desc"}],"limit":10,"reactive":true,"other":1"#;

/// What a connection was pushed since the last call, as the data of each.
fn pushes(client: &mut Client) -> Vec<String> {
    let got = client.rig.received(client.conn);
    let pushes =
        got.iter().filter(|message| message.get("channel").and_then(Json::as_str) == Some("logic"));
    pushes.map(|push| push.get("data").map(Json::to_text).unwrap_or_default()).collect()
}

#[test]
fn a_joined_and_grouped_view_is_queried_listed_explained_and_dropped() {
    let mut client = shop();
    assert_eq!(define(&mut client, OWED), r#"{"name":"owed","defined":true}"#);
    assert_eq!(define(&mut client, OWED), "ALREADY_EXISTS View \"owed\" already exists");
    assert_eq!(query(&mut client, "owed"), "[]");
    client.insert("invoices", r#"{"id":1,"client":1,"state":"open","total":12.5}"#);
    client.insert("invoices", r#"{"id":2,"client":2,"state":"open","total":1}"#);
    client.insert("invoices", r#"{"id":3,"client":2,"state":"paid","total":99}"#);
    client.insert("invoices", r#"{"id":4,"client":9,"state":"open","total":99}"#);
    client.insert("invoices", r#"{"id":5,"client":2,"state":"open","total":20}"#);
    assert_eq!(
        query(&mut client, "owed"),
        r#"[{"client":"Bob","bills":2,"sum":21},{"client":"Ada","bills":1,"sum":12.5}]"#
    );
    assert_eq!(
        client.ask(r#""type":"logic.listViews""#),
        r#"[{"name":"owed","from":{"i":"invoices","c":"clients"},"reactive":true,"resultCount":2}]"#
    );
    assert_eq!(
        client.ask(r#""type":"logic.explainView","name":"owed""#),
        concat!(
            r#"{"name":"owed","sources":{"i":"invoices","c":"clients"},"joins":{"i.client":"c.id"},"#,
            r#""filters":{"i.state":"open","i.total":{"$gt":0}},"groupBy":["c.id"],"#,
            r#""select":{"client":"c.name","bills":{"$count":"*"},"sum":{"$round":[{"$sum":"i.total"},2]}},"#,
            r#""dependencies":["invoices","clients"],"#,
            r#""orderBy":[{"field":"sum","direction":"desc"}],"limit":10,"reactive":true,"#,
            r#""plan":[{"alias":"i","bucket":"invoices","access":"scan"},"#,
            r#"{"alias":"c","bucket":"clients","access":"key","on":"id"}]}"#
        )
    );
    let drop = r#""type":"logic.dropView","name":"owed""#;
    assert_eq!(client.ask(drop), r#"{"name":"owed","dropped":true}"#);
    assert_eq!(client.ask(drop), r#"{"name":"owed","dropped":false}"#);
    for operation in ["queryView", "explainView", "subscribeView"] {
        assert_eq!(
            client.ask(&format!(r#""type":"logic.{operation}","name":"owed""#)),
            "VALIDATION_ERROR View \"owed\" is not defined"
        );
    }
}

#[test]
fn a_subscription_gets_the_rows_and_every_change_of_them() {
    let mut client = shop();
    define(&mut client, OWED);
    let subscribe = r#""type":"logic.subscribeView","name":"owed""#;
    assert_eq!(client.ask(subscribe), r#"{"subscriptionId":"sub-1","data":[]}"#);
    client.rig.advance(20);
    client.insert("invoices", r#"{"id":1,"client":1,"state":"open","total":12.5}"#);
    client.rig.send(
        client.conn,
        r#"{"id":2,"type":"store.update","bucket":"clients","key":1,"data":{"name":"Eva"}}"#,
    );
    assert_eq!(pushes(&mut client), [r#"[{"client":"Eva","bills":1,"sum":12.5}]"#]);
    // What does not change the rows is not pushed; the join key of either side.
    client.rig.send(
        client.conn,
        r#"{"id":2,"type":"store.update","bucket":"invoices","key":1,"data":{"note":"x"}}"#,
    );
    assert!(pushes(&mut client).is_empty());
    client.rig.send(
        client.conn,
        r#"{"id":2,"type":"store.update","bucket":"invoices","key":1,"data":{"client":"1"}}"#,
    );
    assert_eq!(pushes(&mut client), ["[]"]);
    // One push per transaction.
    client.rig.send(
        client.conn,
        r#"{"id":2,"type":"store.transaction","operations":[
        {"op":"update","bucket":"invoices","key":1,"data":{"client":2}},
        {"op":"insert","bucket":"invoices","data":{"id":2,"client":2,"state":"open","total":1}}]}"#,
    );
    assert_eq!(pushes(&mut client), [r#"[{"client":"Bob","bills":2,"sum":13.5}]"#]);
    // Store and rules do not know its id; unsubscribed, it is gone.
    for operation in ["store.unsubscribe", "rules.unsubscribe"] {
        let answer = client.ask(&format!(r#""type":"{operation}","subscriptionId":"sub-1""#));
        assert!(!answer.contains("unsubscribed"), "{answer}");
    }
    let unsubscribe = r#""type":"logic.unsubscribeView","subscriptionId":"sub-1""#;
    assert_eq!(client.ask(unsubscribe), r#"{"unsubscribed":true}"#);
    assert_eq!(client.ask(unsubscribe), "NOT_FOUND Subscription \"sub-1\" not found");
    client.rig.send(client.conn, r#"{"id":2,"type":"store.clear","bucket":"clients"}"#);
    assert!(pushes(&mut client).is_empty());
}

#[test]
fn drops_end_a_subscription_or_leave_it_empty() {
    let mut client = shop();
    define(&mut client, OWED);
    client.insert("invoices", r#"{"id":1,"client":1,"state":"open","total":2}"#);
    client.ask(r#""type":"logic.subscribeView","name":"owed""#);
    client.rig.advance(20);
    client.rig.send(client.conn, r#"{"id":2,"type":"store.dropBucket","name":"clients"}"#);
    assert_eq!(pushes(&mut client), ["[]"]);
    for operation in ["queryView", "subscribeView"] {
        assert_eq!(
            client.ask(&format!(r#""type":"logic.{operation}","name":"owed""#)),
            "BUCKET_NOT_DEFINED Bucket \"clients\" is not defined"
        );
    }
    client.bucket("clients", "");
    client.rig.send(
        client.conn,
        r#"{"id":2,"type":"store.insert","bucket":"clients","data":{"id":1,"name":"Cy"}}"#,
    );
    assert_eq!(pushes(&mut client), [r#"[{"client":"Cy","bills":1,"sum":2}]"#]);
    client.rig.send(client.conn, r#"{"id":2,"type":"store.clear","bucket":"invoices"}"#);
    assert_eq!(pushes(&mut client), ["[]"]);
    client.ask(r#""type":"logic.dropView","name":"owed""#);
    define(&mut client, OWED);
    client.rig.send(client.conn, r#"{"id":2,"type":"store.insert","bucket":"invoices","data":{"id":1,"client":1,"state":"open","total":2}}"#);
    assert!(pushes(&mut client).is_empty(), "a new view does not revive it");
    let unsubscribe = r#""type":"logic.unsubscribeView","subscriptionId":"sub-1""#;
    assert_eq!(client.ask(unsubscribe), r#"{"unsubscribed":true}"#);
}

#[test]
fn rows_groups_and_order() {
    let mut client = Client::new();
    client.bucket("t", "");
    for row in [
        r#"{"id":1,"g":1,"v":"b"}"#,
        r#"{"id":2,"g":"1","v":2}"#,
        r#"{"id":3,"v":null,"o":{"x":1}}"#,
        r#"{"id":4,"g":null,"v":true}"#,
        r#"{"id":5,"g":1,"v":[1]}"#,
        r#"{"id":6,"g":1,"v":"B"}"#,
    ] {
        client.insert("t", row);
    }
    define(
        &mut client,
        r#""name":"all","from":{"a":"t"},"select":{"n":"id","whole":"a","k":5,"c":{"$literal":"x"},"s":{"$concat":["v",{"$add":["$id",1]}]}},"where":{"$eq":["$id",3]}"#,
    );
    assert!(query(&mut client, "all").starts_with(r#"[{"n":3,"whole":{"id":3,"v":null,"#));
    assert!(query(&mut client, "all").ends_with(r#""k":5,"c":"x","s":"v4"}]"#));
    let ordered = |way: &str| {
        format!(
            r#""name":"{way}","from":{{"a":"t"}},"select":{{"n":"id"}},"orderBy":[{{"field":"v","direction":"{way}"}}]"#
        )
    };
    define(&mut client, &ordered("asc"));
    define(&mut client, &ordered("desc"));
    let ids = |text: String| text.replace(r#"{"n":"#, "").replace('}', "");
    assert_eq!(ids(query(&mut client, "asc")), "[4,2,6,1,5,3]");
    assert_eq!(ids(query(&mut client, "desc")), "[5,1,6,2,4,3]");
    define(
        &mut client,
        r#""name":"g","from":{"a":"t"},"groupBy":["g"],"select":{"g":"g","first":"id","n":{"$count":"v"},"min":{"$min":"v"},"max":{"$max":"$v"},"sum":{"$sum":"a.v"},"avg":{"$avg":"v"}}"#,
    );
    assert_eq!(
        query(&mut client, "g"),
        concat!(
            r#"[{"g":1,"first":1,"n":3,"min":"B","max":"b","sum":0,"avg":null},"#,
            r#"{"g":"1","first":2,"n":1,"min":2,"max":2,"sum":2,"avg":2},"#,
            r#"{"g":null,"first":3,"n":1,"min":null,"max":null,"sum":0,"avg":null}]"#
        )
    );
    define(
        &mut client,
        r#""name":"none","from":{"a":"t"},"where":{"id":99},"select":{"id":"id","n":{"$count":"*"},"sum":{"$sum":"v"},"min":{"$min":"v"}}"#,
    );
    assert_eq!(query(&mut client, "none"), r#"[{"id":null,"n":0,"sum":0,"min":null}]"#);
    define(
        &mut client,
        r#""name":"empty","from":{"a":"t"},"where":{"id":99},"groupBy":"g","select":{"n":{"$count":"*"}}"#,
    );
    assert_eq!(query(&mut client, "empty"), "[]");
    // A record joined with others of its own bucket.
    define(
        &mut client,
        r#""name":"self","from":{"a":"t","b":"t"},"join":{"a.g":"b.g"},"where":{"$lt":["$a.id","$b.id"]},"select":{"a":"a.id","b":"b.id"}"#,
    );
    assert_eq!(query(&mut client, "self"), r#"[{"a":1,"b":5},{"a":1,"b":6},{"a":5,"b":6}]"#);
    let limits = crate::logic::LogicLimits { view_rows: 5, ..Default::default() };
    client.rig.engine.set_logic(Some(crate::logic::Logic::new(limits)));
    define(&mut client, r#""name":"five","from":{"a":"t"},"select":{"id":"id"},"reactive":true"#);
    assert_eq!(query(&mut client, "five"), "INTERNAL_ERROR View \"five\" exceeds 5 joined rows");
    client.delete("t", 6);
    assert!(query(&mut client, "five").starts_with("[{"), "at the limit");
    client.ask(r#""type":"logic.subscribeView","name":"five""#);
    client.rig.advance(20);
    client.rig.send(client.conn, r#"{"id":2,"type":"store.insert","bucket":"t","data":{"id":7}}"#);
    assert!(pushes(&mut client).is_empty(), "above it nothing is pushed");
    client.rig.send(client.conn, r#"{"id":2,"type":"store.delete","bucket":"t","key":1}"#);
    assert_eq!(pushes(&mut client), [r#"[{"id":2},{"id":3},{"id":4},{"id":5},{"id":7}]"#]);
}

#[test]
fn everything_that_is_wrong_with_a_view_is_said() {
    let mut client = Client::new();
    let ask = |client: &mut Client, members: &str| {
        let answer = define(client, members);
        let start = "VALIDATION_ERROR View validation failed: ";
        let text = answer.strip_prefix(start).unwrap_or_else(|| panic!("{answer}"));
        text.split(" {\"issues\"").next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        ask(
            &mut client,
            r#""join":1,"where":1,"groupBy":1,"orderBy":1,"limit":-1,"reactive":1,"asDefiner":1"#
        ),
        [
            "Missing or invalid \"name\": expected non-empty string",
            "Missing or invalid \"from\": expected non-empty object",
            "\"join\" must be an object",
            "\"where\" must be an object",
            "\"groupBy\" must be a string or an array of strings",
            "Missing or invalid \"select\": expected non-empty object",
            "\"orderBy\" must be an array",
            "\"limit\" must be a non-negative integer",
            "\"reactive\" must be a boolean",
            "\"asDefiner\" must be a boolean",
        ]
        .join("; ")
    );
    let two = r#""name":"v","from":{"a":"x","b":"y"}"#;
    for (members, text) in [
        (r#""name":"v","from":{"1a":"x"},"select":{"n":1}"#, "from: invalid alias \"1a\""),
        (r#""name":"v","from":{"a":""},"select":{"n":1}"#, "from.a: expected non-empty string"),
        (&format!(r#"{two},"select":{{"n":1}}"#), "join: source \"b\" is not joined"),
        (
            &format!(r#"{two},"join":{{"a":"b.x"}},"select":{{"n":1}}"#),
            "join: \"a\" must be \"alias.field\"",
        ),
        (
            &format!(r#"{two},"join":{{"a.x":"c.x"}},"select":{{"n":1}}"#),
            "join: unknown source \"c\"",
        ),
        (
            &format!(r#"{two},"join":{{"a.x":"a.y"}},"select":{{"n":1}}"#),
            "join: both sides refer to \"a\"",
        ),
        (
            &format!(
                r#"{two},"join":{{"a.x":"b.x"}},"select":{{"n":"c.x","m":[],"o":{{"$mul":1}}}}"#
            ),
            "select.n: unknown source \"c\"; select.m: expected expression; select.o: unknown operator \"$mul\"",
        ),
        (
            &format!(
                r#"{two},"join":{{"a.x":"b.x"}},"where":{{"q":1}},"groupBy":["z.x"],"select":{{"n":1}}"#
            ),
            "where: unknown source \"q\"; groupBy: unknown source in \"z.x\"",
        ),
    ] {
        assert_eq!(ask(&mut client, members), text, "{members}");
    }
    let one = r#""name":"v","from":{"a":"x"},"select":{"n":{"$sum":"v"}}"#;
    for (members, text) in [
        (r#""where":{"$and":[]}"#, "where: \"$and\" must be a non-empty array"),
        (r#""where":{"$or":[1]}"#, "where: expected object"),
        (r#""where":{"$gt":[1,2],"v":1}"#, "where: cannot combine \"$gt\" with other members"),
        (r#""where":{"v":{"$like":1}}"#, "where: unknown filter operator \"$like\""),
        (r#""where":{"$like":1}"#, "where: unknown operator \"$like\""),
        (r#""where":{"$sum":"v"}"#, "where: \"$sum\" is an aggregate and not allowed here"),
        (
            r#""orderBy":[1,{"field":"","direction":1},{"field":"n","direction":"up"},{"field":"v"}]"#,
            "orderBy[0]: expected object; orderBy[1].field: expected non-empty string; \
             orderBy[1].direction: expected one of: asc, desc; orderBy[2].direction: expected one of: asc, desc; orderBy[3].field: unknown column \"v\"",
        ),
    ] {
        assert_eq!(ask(&mut client, &format!("{one},{members}")), text, "{members}");
    }
    let nine: Vec<String> = (0..9).map(|n| format!(r#""a{n}":"x""#)).collect();
    let many = format!(r#""name":"v","from":{{{}}},"select":{{"n":1}}"#, nine.join(","));
    assert!(ask(&mut client, &many).starts_with("from: too many sources (maximum 8); "));
    assert_eq!(define(&mut client, one), "BUCKET_NOT_DEFINED Bucket \"x\" is not defined");
    client.bucket("x", "");
    let limits = crate::logic::LogicLimits { definitions: 1, ..Default::default() };
    client.rig.engine.set_logic(Some(crate::logic::Logic::new(limits)));
    assert!(define(&mut client, one).contains("defined"));
    let other = one.replace("\"v\",\"from", "\"w\",\"from");
    assert_eq!(define(&mut client, &other), "VALIDATION_ERROR Too many views (maximum 1)");
    assert_eq!(
        client.ask(r#""type":"logic.subscribeView","name":"v""#),
        "VALIDATION_ERROR View \"v\" is not reactive"
    );
}

#[test]
fn a_record_that_was_the_first_of_its_group_takes_no_other_group_along() {
    let mut client = Client::new();
    client.bucket("t", "");
    for row in [r#"{"id":1,"g":2}"#, r#"{"id":2,"g":2}"#, r#"{"id":3,"g":1}"#] {
        client.insert("t", row);
    }
    define(
        &mut client,
        r#""name":"g","from":{"a":"t"},"groupBy":"g","select":{"g":"g","n":{"$count":"*"}},"reactive":true"#,
    );
    client.ask(r#""type":"logic.subscribeView","name":"g""#);
    client.rig.advance(20);
    client
        .rig
        .send(client.conn, r#"{"id":2,"type":"store.update","bucket":"t","key":1,"data":{"g":1}}"#);
    assert_eq!(pushes(&mut client), [r#"[{"g":1,"n":2},{"g":2,"n":1}]"#]);
}

/// What the top of `where` asks of a source leads changes to the view, words too.
#[test]
fn a_change_visits_a_view_only_if_it_concerns_one_of_its_sources() {
    let mut client = shop();
    let searched = r#""type":"store.updateBucket","name":"invoices","updates":{"addFields":{"text":{"type":"string","search":true}}}"#;
    assert!(client.ask(searched).contains("updated"));
    let view = |name: &str, conditions: &str| {
        format!(
            r#""name":"{name}","from":{{"i":"invoices","c":"clients"}},"join":{{"i.client":"c.id"}},
            "where":{conditions},"select":{{"i":"i.id","c":"c.name"}},"reactive":true"#
        )
    };
    let conditions = r#"{"i.text":{"$search":"blue paint"},"c.name":"Ada"}"#;
    for name in ["where", "also"] {
        assert!(define(&mut client, &view(name, conditions)).contains("defined"));
        let subscribe = format!(r#""type":"logic.subscribeView","name":"{name}""#);
        assert!(client.ask(&subscribe).contains(r#""data":[]"#));
    }
    let views = client.ask(r#""type":"server.views","query":"where""#);
    assert!(views.contains(r#""routedBy":["text","name"]"#), "{views}");
    let visits = |client: &Client| client.rig.engine.views.followed;
    client.insert("invoices", r#"{"id":1,"client":1,"text":"red paint"}"#);
    client.insert("clients", r#"{"id":3,"name":"Cy"}"#);
    assert_eq!(visits(&client), 0);
    client.insert("invoices", r#"{"id":2,"client":2,"text":"Blue paintings"}"#);
    assert_eq!(visits(&client), 2, "both views");
    assert_eq!(query(&mut client, "where"), "[]");
    client.insert("clients", r#"{"id":2,"name":"Ada"}"#);
    assert_eq!(visits(&client), 4);
    assert_eq!(query(&mut client, "where"), r#"[{"i":2,"c":"Ada"}]"#);
    client.rig.engine.check_invariants();
    for conditions in [
        r#"{"i.state":{"$search":"blue"}}"#,
        r#"{"$or":[{"c.name":{"$search":"blue"}},{"i.text":{"$search":"blue"}}]}"#,
    ] {
        let refused = define(&mut client, &view("wrong", conditions));
        let expected = "VALIDATION_ERROR View validation failed: where: \"$search\" needs a field with \"search\"";
        assert!(refused.starts_with(expected), "{refused}");
    }
}
