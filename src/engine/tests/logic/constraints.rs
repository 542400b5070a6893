//! Computed fields and constraints: what takes part in a write.

use super::*;

const DEFINE_TOTAL: &str = r#""type":"logic.defineComputed","bucket":"lines","fields":{
    "gross":{"depends":["net","vat"],"expr":{"$multiply":["$net",{"$add":[1,"$vat"]}]}},
    "label":{"depends":[],"expr":{"$concat":["n",{"$round":["$gross",1]}]},"other":1},
    "priced":{"depends":["net"],"expr":{"$now":true}}}"#;

#[test]
fn expressions_are_evaluated_on_request() {
    let mut client = Client::new();
    let expr = r#""type":"logic.evaluateExpr","expr":{"$round":[{"$multiply":["$net",1.2]},2]}"#;
    assert_eq!(client.ask(&format!(r#"{expr},"record":{{"net":9.99}}"#)), "11.99");
    assert_eq!(client.ask(expr), "null");
    assert_eq!(client.ask(r#""type":"logic.evaluateExpr","expr":null,"record":null"#), "null");
    assert_eq!(
        client.ask(r#""type":"logic.evaluateExpr""#),
        "VALIDATION_ERROR Missing \"expr\": expected expression"
    );
    assert_eq!(
        client.ask(r#""type":"logic.evaluateExpr","expr":1,"record":[]"#),
        "VALIDATION_ERROR Invalid \"record\": expected object"
    );
    assert_eq!(
        client.ask(r#""type":"logic.evaluateExpr","expr":{"$nope":1}"#),
        "INTERNAL_ERROR Expression evaluation failed: unknown operator \"$nope\""
    );
    assert_eq!(
        client.ask(r#""type":"logic.nope""#),
        "UNKNOWN_OPERATION Unknown logic operation \"logic.nope\""
    );
    client.rig.engine.set_logic(None);
    for request in [expr, r#""type":"logic.nope""#, r#""type":"logic.listViews""#] {
        assert_eq!(client.ask(request), "LOGIC_NOT_AVAILABLE Logic engine is not configured");
    }
}

#[test]
fn computed_values_are_part_of_the_write() {
    let mut client = Client::new();
    client.bucket("lines", "");
    assert_eq!(client.ask(DEFINE_TOTAL), r#"{"bucket":"lines","defined":true}"#);
    assert_eq!(
        client.insert("lines", r#"{"id":1,"net":10,"vat":0.5,"gross":99}"#),
        concat!(
            r#"{"id":1,"net":10,"vat":0.5,"_version":1,"_createdAt":1800000000000,"#,
            r#""_updatedAt":1800000000000,"gross":15,"label":"#,
            r#""n15""#,
            r#","priced":1800000000000}"#
        )
    );
    client.rig.advance(1000);
    client.update("lines", 1, r#"{"vat":1,"label":"mine"}"#);
    assert_eq!(client.field("lines", 1, "gross"), "20");
    assert_eq!(client.field("lines", 1, "label"), r#""n20""#);
    assert_eq!(client.field("lines", 1, "priced"), "1800000000000", "the price is the same");
    client.update("lines", 1, r#"{"net":11}"#);
    assert_eq!(client.field("lines", 1, "priced"), "1800000001000");
    assert_eq!(client.field("lines", 1, "_version"), "3");
    // Without its values the record is what it was; a null is stored.
    client.insert("lines", r#"{"id":2}"#);
    assert_eq!(client.field("lines", 2, "gross"), "null");
    assert!(
        client.ask(r#""type":"logic.listComputed""#).starts_with(
            r#"[{"bucket":"lines","fields":{"gross":{"depends":["net","vat"],"expr":"#
        )
    );
    assert!(!client.ask(r#""type":"logic.listComputed""#).contains("other"));
    let drop = r#""type":"logic.dropComputed","bucket":"lines""#;
    assert_eq!(client.ask(drop), r#"{"bucket":"lines","dropped":true}"#);
    assert_eq!(client.ask(drop), r#"{"bucket":"lines","dropped":false}"#);
    client.update("lines", 1, r#"{"gross":7}"#);
    assert_eq!(client.field("lines", 1, "gross"), "7");
    // A record that has no value yet gets one at its next write, whatever it is.
    client.insert("lines", r#"{"id":3,"net":1,"vat":0}"#);
    client.ask(DEFINE_TOTAL);
    client.update("lines", 3, r#"{"x":1}"#);
    assert_eq!(client.field("lines", 3, "gross"), "1");
    client.ask(r#""type":"store.dropBucket","name":"lines""#);
    assert_eq!(client.ask(r#""type":"logic.listComputed""#), "[]");
}

#[test]
fn computed_values_obey_the_schema_uniqueness_and_references() {
    let mut client = Client::new();
    client.bucket("people", "");
    client.bucket(
        "cards",
        r#","code":{"type":"string","unique":true,"minLength":2},"owner":{"type":"number","ref":"people"}"#,
    );
    let define = r#""type":"logic.defineComputed","bucket":"cards","fields":{
        "code":{"depends":[],"expr":"$text"},"owner":{"depends":[],"expr":{"$add":["$of",0]}}}"#;
    client.ask(define);
    client.insert("people", r#"{"id":7}"#);
    assert!(client.insert("cards", r#"{"id":1,"text":"ab","of":7}"#).contains(r#""owner":7"#));
    assert!(client.insert("cards", r#"{"id":2,"text":"a"}"#).starts_with("VALIDATION_ERROR"));
    assert!(client.insert("cards", r#"{"id":2,"text":"ab"}"#).starts_with("ALREADY_EXISTS"));
    let dangling = "VALIDATION_ERROR Foreign key violation";
    assert!(client.insert("cards", r#"{"id":2,"text":"cd","of":8}"#).starts_with(dangling));
    assert!(client.update("cards", 1, r#"{"of":8}"#).starts_with(dangling));
    let transaction = r#""type":"store.transaction","operations":[{"op":"insert","bucket":"cards","data":{"id":2,"text":"cd","of":8}}]"#;
    assert!(client.ask(transaction).starts_with(dangling), "in the end");
    // What the client sends for it does not count.
    assert!(
        client.insert("cards", r#"{"id":2,"text":"cd","owner":99}"#).contains("\"owner\":null")
    );
}

#[test]
fn everything_that_is_wrong_with_computed_fields_is_said() {
    let mut client = Client::new();
    assert_eq!(client.ask(DEFINE_TOTAL), "BUCKET_NOT_DEFINED Bucket \"lines\" is not defined");
    assert!(client.ask(r#""type":"logic.defineComputed","bucket":"""#).contains("\"bucket\""));
    assert!(
        client
            .ask(r#""type":"logic.defineComputed","bucket":"lines","fields":[]"#)
            .contains("Missing or invalid \"fields\": expected object")
    );
    client.bucket("lines", r#","made":{"type":"string","generated":"uuid"}"#);
    let ask = |client: &mut Client, fields: &str| {
        client.ask(&format!(
            r#""type":"logic.defineComputed","bucket":"lines","fields":{{{fields}}}"#
        ))
    };
    assert_eq!(
        ask(&mut client, ""),
        "VALIDATION_ERROR Computed fields validation failed: \"fields\" must contain at least \
         one field {\"issues\":[\"\\\"fields\\\" must contain at least one field\"]}"
    );
    let fields = r#""a":1,"id":{"depends":[""],"expr":1},"made":{"depends":[]},"_x.y":{"depends":[],"expr":{"$mul":1}}"#;
    let answer = ask(&mut client, fields);
    for text in [
        "fields.a: expected object; ",
        "fields.id.depends: expected array of non-empty strings; ",
        "fields.id: cannot compute the key field; ",
        "fields.made.expr: expected expression; ",
        "fields.made: cannot compute a generated field; ",
        "fields._x.y.expr: unknown operator \"$mul\"; ",
        "fields._x.y: name must not start with \"_\" or \"$\" or contain \".\" {",
    ] {
        assert!(answer.contains(text), "{text}: {answer}");
    }
    let cycle = r#""c":{"depends":["a.x"],"expr":1},"a":{"depends":[],"expr":"$b"},"b":{"depends":["a"],"expr":1}"#;
    let answer = ask(&mut client, cycle);
    assert!(answer.contains("fields: circular dependency: a -> b -> a {"), "{answer}");
    let itself = ask(&mut client, r#""a":{"depends":[],"expr":"$a"}"#);
    assert!(itself.contains("circular dependency: a -> a"), "{itself}");
}

fn constraint(client: &mut Client, members: &str) -> String {
    client.ask(&format!(r#""type":"logic.defineConstraint","constraint":{{{members}}}"#))
}

#[test]
fn a_violated_constraint_is_its_message() {
    let mut client = Client::new();
    client.bucket("parts", r#","kind":{"type":"string","enum":["x","y"]}"#);
    let stock = r#""name":"stock","on":"parts","expr":{"$gte":["$stock",0]},"message":"Not enough","groupBy":null,"other":1"#;
    assert_eq!(constraint(&mut client, stock), r#"{"name":"stock","defined":true}"#);
    assert_eq!(
        constraint(&mut client, stock),
        "ALREADY_EXISTS Constraint \"stock\" already exists"
    );
    let keep = r#""name":"keep","on":"parts","expr":{"$not":"$kept"},"message":"Kept","operations":["delete"]"#;
    constraint(&mut client, keep);
    let few = r#""name":"few","on":"parts","expr":{"$lt":["$stock",100]},"message":"Too many""#;
    constraint(&mut client, few);
    assert_eq!(
        client.ask(r#""type":"logic.listConstraints""#),
        concat!(
            r#"[{"name":"stock","on":"parts","expr":{"$gte":["$stock",0]},"message":"Not enough"},"#,
            r#"{"name":"keep","on":"parts","expr":{"$not":"$kept"},"message":"Kept","operations":["delete"]},"#,
            r#"{"name":"few","on":"parts","expr":{"$lt":["$stock",100]},"message":"Too many"}]"#
        )
    );
    let entry = |name: &str, text: &str| {
        format!(
            r#"{{"field":"_record","message":"{text}","code":"constraint","constraint":"{name}"}}"#
        )
    };
    let both = format!(
        "VALIDATION_ERROR Not enough [{},{}]",
        entry("stock", "Not enough"),
        entry("few", "Too many")
    );
    assert_eq!(client.insert("parts", r#"{"id":1}"#), both);
    assert!(client.insert("parts", r#"{"id":1,"kind":"z"}"#).contains("kind"), "the schema first");
    client.insert("parts", r#"{"id":1,"stock":3,"kept":true}"#);
    assert!(
        client.update("parts", 1, r#"{"stock":-1}"#).starts_with("VALIDATION_ERROR Not enough")
    );
    assert_eq!(client.field("parts", 1, "stock"), "3");
    let kept = format!("VALIDATION_ERROR Kept [{}]", entry("keep", "Kept"));
    assert_eq!(client.delete("parts", 1), kept);
    assert_eq!(client.ask(r#""type":"store.clear","bucket":"parts""#), kept);
    let indexed = kept.replace("\"constraint\":\"keep\"", "\"constraint\":\"keep\",\"index\":1");
    let transaction = r#""type":"store.transaction","operations":[{"op":"insert","bucket":"parts","data":{"id":2,"stock":1}},{"op":"delete","bucket":"parts","key":1}]"#;
    assert_eq!(client.ask(transaction), indexed);
    assert_eq!(client.field("parts", 2, "stock"), "missing");
    let drop = r#""type":"logic.dropConstraint","name":"keep""#;
    assert_eq!(client.ask(drop), r#"{"name":"keep","dropped":true}"#);
    assert_eq!(client.ask(drop), r#"{"name":"keep","dropped":false}"#);
    assert_eq!(client.delete("parts", 1), r#"{"deleted":true}"#);
    client.ask(r#""type":"store.dropBucket","name":"parts""#);
    assert_eq!(client.ask(r#""type":"logic.listConstraints""#), "[]");
}

#[test]
fn a_cascade_obeys_the_constraints_of_what_it_reaches() {
    let mut client = Client::new();
    client.bucket("people", "");
    client.bucket(
        "dogs",
        r#","of":{"type":"number","ref":"people","onDelete":"cascade"},"by":{"type":"number","ref":"people","onDelete":"set_null"}"#,
    );
    client.insert("people", r#"{"id":1}"#);
    client.insert("people", r#"{"id":2}"#);
    client.insert("dogs", r#"{"id":1,"of":1}"#);
    client.insert("dogs", r#"{"id":2,"by":2}"#);
    constraint(
        &mut client,
        r#""name":"d","on":"dogs","expr":false,"message":"Stays","operations":["delete"]"#,
    );
    constraint(
        &mut client,
        r#""name":"u","on":"dogs","expr":{"$neq":["$by",null]},"message":"By whom","operations":["update"]"#,
    );
    assert!(client.delete("people", 1).starts_with("VALIDATION_ERROR Stays"));
    assert!(client.delete("people", 2).starts_with("VALIDATION_ERROR By whom"));
    assert_eq!(client.field("dogs", 2, "by"), "2");
    client.ask(r#""type":"logic.dropConstraint","name":"d""#);
    assert_eq!(client.delete("people", 1), r#"{"deleted":true}"#);
    assert_eq!(client.field("dogs", 1, "of"), "missing");
}

#[test]
fn everything_that_is_wrong_with_a_constraint_is_said() {
    let mut client = Client::new();
    let wrong =
        r#""expr":{"$sum":"x"},"message":"","scope":"all","groupBy":"","operations":["replace"]"#;
    assert_eq!(
        constraint(&mut client, wrong),
        concat!(
            "VALIDATION_ERROR Constraint validation failed: ",
            "Missing or invalid \"name\": expected non-empty string; ",
            "Missing or invalid \"on\": expected non-empty string; ",
            "expr: \"$sum\" is an aggregate and not allowed here; ",
            "Missing or invalid \"message\": expected non-empty string; ",
            "\"scope\" must be one of: record, group; ",
            "\"groupBy\" must be a non-empty string; ",
            "\"operations\" must be a non-empty array of: insert, update, delete ",
            r#"{"issues":["Missing or invalid \"name\": expected non-empty string","#,
            r#""Missing or invalid \"on\": expected non-empty string","#,
            r#""expr: \"$sum\" is an aggregate and not allowed here","#,
            r#""Missing or invalid \"message\": expected non-empty string","#,
            r#""\"scope\" must be one of: record, group","#,
            r#""\"groupBy\" must be a non-empty string","#,
            r#""\"operations\" must be a non-empty array of: insert, update, delete"]}"#
        )
    );
    assert_eq!(
        constraint(&mut client, r#""name":"c","on":"b","expr":null,"message":"m""#),
        "BUCKET_NOT_DEFINED Bucket \"b\" is not defined"
    );
    client.bucket("b", "");
    let limits = crate::logic::LogicLimits { definitions: 1, ..Default::default() };
    client.rig.engine.set_logic(Some(crate::logic::Logic::new(limits)));
    let named = |name: &str| format!(r#""name":"{name}","on":"b","expr":null,"message":"m""#);
    assert!(constraint(&mut client, &named(&"n".repeat(257))).contains("Constraint name is too"));
    assert!(constraint(&mut client, &named("c")).contains("defined"));
    assert_eq!(
        constraint(&mut client, &named("d")),
        "VALIDATION_ERROR Too many constraints (maximum 1)"
    );
}

const BALANCED: &str = r#""name":"balanced","on":"bookings","scope":"group","groupBy":"voucher",
    "operations":["insert","update","delete"],"message":"Not balanced",
    "expr":{"$eq":[{"$round":[{"$sum":"debit"},2]},{"$round":[{"$sum":"credit"},2]}]}"#;

fn transaction(client: &mut Client, steps: &[&str]) -> String {
    let steps: Vec<String> =
        steps.iter().map(|step| format!(r#"{{"bucket":"bookings",{step}}}"#)).collect();
    client.ask(&format!(r#""type":"store.transaction","operations":[{}]"#, steps.join(",")))
}

#[test]
fn groups_are_checked_in_the_end() {
    let mut client = Client::new();
    client.bucket("bookings", "");
    assert!(constraint(&mut client, BALANCED).contains("defined"));
    let refused = "VALIDATION_ERROR Not balanced";
    assert!(client.insert("bookings", r#"{"id":1,"voucher":1,"debit":5}"#).starts_with(refused));
    // In between it is not balanced, in the end it is.
    let both = transaction(
        &mut client,
        &[
            r#""op":"insert","data":{"id":1,"voucher":1,"debit":0.1}"#,
            r#""op":"insert","data":{"id":2,"voucher":1,"debit":0.2}"#,
            r#""op":"insert","data":{"id":3,"voucher":1,"credit":0.3}"#,
        ],
    );
    assert!(both.contains("results"), "{both}");
    assert!(client.update("bookings", 1, r#"{"debit":1}"#).starts_with(refused));
    assert!(client.delete("bookings", 1).starts_with(refused));
    // Moving a record is looked at where it comes from and where it goes.
    assert!(client.update("bookings", 1, r#"{"voucher":2}"#).starts_with(refused));
    let moved = transaction(
        &mut client,
        &[
            r#""op":"update","key":1,"data":{"voucher":2}"#,
            r#""op":"update","key":2,"data":{"voucher":2}"#,
            r#""op":"update","key":3,"data":{"voucher":2}"#,
        ],
    );
    assert!(moved.contains("results"), "{moved}");
    // Null and missing are one group; what becomes empty is not looked at.
    assert!(client.insert("bookings", r#"{"id":9,"voucher":null,"debit":5}"#).starts_with(refused));
    let apart = transaction(
        &mut client,
        &[
            r#""op":"insert","data":{"id":9,"voucher":null,"debit":5}"#,
            r#""op":"insert","data":{"id":10,"credit":5}"#,
        ],
    );
    assert!(apart.contains("results"), "{apart}");
    let gone = transaction(&mut client, &[r#""op":"delete","key":9"#, r#""op":"delete","key":10"#]);
    assert!(gone.contains("results"), "{gone}");
    assert_eq!(client.ask(r#""type":"store.clear","bucket":"bookings""#), r#"{"cleared":true}"#);
    assert!(client.insert("bookings", r#"{"id":1,"voucher":1,"debit":5}"#).starts_with(refused));
}
