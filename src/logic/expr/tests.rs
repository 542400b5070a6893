use super::ops::Operator;
use super::*;
use crate::json::{DEFAULT_MAX_DEPTH, parse};
use crate::logic::Expression;

const NOW: f64 = 1_800_000_000_000.0;

fn evaluate(expr: &str, record: &str) -> Result<String, String> {
    let raw = |text| parse(text, DEFAULT_MAX_DEPTH).expect("JSON");
    let budget = Budget::unlimited();
    let limits = ExprLimits::default();
    let expr = Expression::compile(&raw(expr).to_json(), limits)?;
    Ok(expr.evaluate(raw(record), NOW, &budget).to_text())
}

fn holds(cases: &[(&str, &str)]) {
    let record = r#"{"n":5,"s":"äb","t":true,"z":null,"a":[1,{"x":2}],"o":{"p":{"q":7}},
        "e":"","inf":1e400,"d":"2024-01-31","dollar":"$n"}"#;
    for (expr, expected) in cases {
        assert_eq!(evaluate(expr, record).as_deref(), Ok(*expected), "{expr}");
    }
}

#[test]
fn literals_and_references() {
    holds(&[
        ("1.50", "1.5"),
        ("null", "null"),
        (r#""$""#, r#""$""#),
        (r#""x""#, r#""x""#),
        (r#""$n""#, "5"),
        (r#""$a.0""#, "1"),
        (r#""$a.1.x""#, "2"),
        (r#""$a.01""#, "null"),
        (r#""$a.length""#, "null"),
        (r#""$s.length""#, "null"),
        (r#""$o.p.q""#, "7"),
        (r#""$o.p.q.r""#, "null"),
        (r#""$gone.x""#, "null"),
        (r#""$inf""#, "null"),
        (r#"{"$literal":{"a":["$n"]}}"#, r#"{"a":["$n"]}"#),
        (r#"{"$eq":["$dollar",{"$literal":"$n"}]}"#, "true"),
    ]);
}

#[test]
fn arithmetic_has_numbers_or_null() {
    holds(&[
        (r#"{"$add":[1,2,"$n"]}"#, "8"),
        (r#"{"$add":[1,"2"]}"#, "null"),
        (r#"{"$add":[1,null]}"#, "null"),
        (r#"{"$add":[1,true]}"#, "null"),
        (r#"{"$multiply":[1e300,1e300]}"#, "null"),
        (r#"{"$multiply":[-1,0]}"#, "0"),
        (r#"{"$subtract":[1,3]}"#, "-2"),
        (r#"{"$divide":[1,4]}"#, "0.25"),
        (r#"{"$divide":[1,0]}"#, "null"),
        (r#"{"$mod":[-7,3]}"#, "-1"),
        (r#"{"$mod":[7,-3]}"#, "1"),
        (r#"{"$mod":[7,0]}"#, "null"),
        (r#"{"$mod":[-6,3]}"#, "0"),
        (r#"{"$abs":-3}"#, "3"),
        (r#"{"$abs":["$gone"]}"#, "null"),
        (r#"{"$floor":-1.5}"#, "-2"),
        (r#"{"$ceil":-0.5}"#, "0"),
        (r#"{"$ceil":"1"}"#, "null"),
        (r#"{"$round":2.5}"#, "3"),
        (r#"{"$round":[1.005,2]}"#, "1.01"),
        (r#"{"$round":[1,null]}"#, "null"),
        (r#"{"$round":[1,16]}"#, "null"),
        (r#"{"$round":[149,-2]}"#, "100"),
        (r#"{"$round":["x"]}"#, "null"),
    ]);
}

#[test]
fn comparisons_are_true_or_false() {
    holds(&[
        (r#"{"$eq":["$gone",null]}"#, "true"),
        (r#"{"$eq":[1,"1"]}"#, "false"),
        (r#"{"$eq":["$o",{"$literal":{"p":{"q":7.0}}}]}"#, "true"),
        (r#"{"$eq":["$a",{"$literal":[1]}]}"#, "false"),
        (r#"{"$neq":["$z",0]}"#, "true"),
        (r#"{"$gt":["$n",4]}"#, "true"),
        (r#"{"$gt":["$gone",4]}"#, "false"),
        (r#"{"$not":{"$gt":["$gone",5]}}"#, "true"),
        (r#"{"$lt":["\ud83d\ude00","\ue000"]}"#, "true"),
        (r#"{"$lte":["b","a"]}"#, "false"),
        (r#"{"$gte":[true,false]}"#, "true"),
        (r#"{"$gte":[true,1]}"#, "false"),
        (r#"{"$lte":[null,null]}"#, "false"),
        (r#"{"$between":["$n",5,5]}"#, "true"),
        (r#"{"$between":["$n",6,9]}"#, "false"),
        (r#"{"$between":["$gone",0,9]}"#, "false"),
        (r#"{"$in":["$n",[1,{"$add":[2,3]}]]}"#, "true"),
        (r#"{"$in":[1,"$a"]}"#, "true"),
        (r#"{"$in":[1,"$s"]}"#, "false"),
        (r#"{"$in":["$gone",[null]]}"#, "true"),
        (r#"{"$in":[{"$literal":{"x":2}},"$a"]}"#, "true"),
        (r#"{"$in":[1,{"$literal":[1]}]}"#, "true"),
        (r#"{"$in":[1,[]]}"#, "false"),
    ]);
}

#[test]
fn truth_and_choice() {
    holds(&[
        (r#"{"$and":[]}"#, "true"),
        (r#"{"$or":[]}"#, "false"),
        (r#"{"$and":"$n"}"#, "true"),
        (r#"{"$and":["$n","$e"]}"#, "false"),
        (r#"{"$or":[0,"",null,false]}"#, "false"),
        (r#"{"$or":[0,"$a"]}"#, "true"),
        (r#"{"$not":{"$literal":[]}}"#, "false"),
        (r#"{"$not":["$z"]}"#, "true"),
        (r#"{"$cond":["$t","$n","$s"]}"#, "5"),
        (r#"{"$cond":["$z","$n","$s"]}"#, r#""äb""#),
    ]);
}

#[test]
fn texts() {
    holds(&[
        (
            r#"{"$concat":["a","$n",null,true,"$o",1e21,"$a.0"]}"#,
            r#""a5true{\"p\":{\"q\":7}}1e+211""#,
        ),
        (r#"{"$concat":[]}"#, r#""""#),
        (r#"{"$concat":"x"}"#, r#""x""#),
        (r#"{"$upper":"straße"}"#, r#""STRASSE""#),
        (r#"{"$lower":"ÄB"}"#, r#""äb""#),
        (r#"{"$upper":5}"#, "null"),
        (r#"{"$length":"$s"}"#, "2"),
        (r#"{"$length":"😀"}"#, "1"),
        (r#"{"$length":"$a"}"#, "2"),
        (r#"{"$length":{"$literal":[1,2,3]}}"#, "3"),
        (r#"{"$length":"$o"}"#, "null"),
        (r#"{"$length":5}"#, "null"),
        (r#"{"$trim":"\ufeff\u3000 x\u0085 "}"#, "\"x\u{85}\""),
        (r#"{"$trim":null}"#, "null"),
        (r#"{"$substring":["a😀cd",1,2]}"#, r#""😀c""#),
        (r#"{"$substring":["abcd",-2]}"#, r#""cd""#),
        (r#"{"$substring":["abcd",-9,2]}"#, r#""ab""#),
        (r#"{"$substring":["abcd",9]}"#, r#""""#),
        (r#"{"$substring":["abcd",1,-1]}"#, r#""""#),
        (r#"{"$substring":["abcd",1.9,1.9]}"#, r#""b""#),
        (r#"{"$substring":["abcd",0,1e300]}"#, r#""abcd""#),
        (r#"{"$substring":[5,0]}"#, "null"),
        (r#"{"$substring":["abcd","0"]}"#, "null"),
        (r#"{"$substring":["abcd",0,null]}"#, "null"),
    ]);
}

#[test]
fn dates() {
    holds(&[
        (r#"{"$now":true}"#, "1800000000000"),
        (r#"{"$year":"2024-02-29"}"#, "2024"),
        (r#"{"$month":"2024-02-29T23:59"}"#, "2"),
        (r#"{"$day":"2024-02-29T23:59:59.999-01:00"}"#, "1"),
        (r#"{"$year":-1}"#, "1969"),
        (r#"{"$year":8640000000000001}"#, "null"),
        (r#"{"$year":"2023-02-29"}"#, "null"),
        (r#"{"$year":"2023-02-20T24:00"}"#, "null"),
        (r#"{"$year":"2023-02-20 10:00"}"#, "null"),
        (r#"{"$year":true}"#, "null"),
        (r#"{"$daysBetween":["2024-02-28","2024-03-01"]}"#, "2"),
        (r#"{"$daysBetween":["2024-03-01","2024-02-28T01:00Z"]}"#, "-1"),
        (r#"{"$daysBetween":["2024-03-01",null]}"#, "null"),
        (r#"{"$dateAdd":["$d",1,"month"]}"#, r#""2024-02-29""#),
        (r#"{"$dateAdd":["2024-02-29",-1,"year"]}"#, r#""2023-02-28""#),
        (
            r#"{"$dateAdd":["2024-12-31T22:00:00+02:00",1.9,"day"]}"#,
            r#""2025-01-01T20:00:00.000Z""#,
        ),
        (r#"{"$dateAdd":[86400000,-1,"day"]}"#, "0"),
        (r#"{"$dateAdd":["0000-01-01",-1,"day"]}"#, "null"),
        (r#"{"$dateAdd":["9999-12-31",1,"day"]}"#, "null"),
        (r#"{"$dateAdd":["2024-01-01",1e300,"month"]}"#, "null"),
        (r#"{"$dateAdd":["2024-01-01",1,"$s"]}"#, "null"),
        (r#"{"$dateAdd":["2024-01-01","1","day"]}"#, "null"),
    ]);
}

#[test]
fn every_reason_why_one_is_refused() {
    let deep =
        |depth: usize| format!("{}1{}", r#"{"$not":"#.repeat(depth - 1), "}".repeat(depth - 1));
    let wide = |nodes: usize| format!(r#"{{"$and":[{}]}}"#, vec!["1"; nodes - 1].join(","));
    assert!(evaluate(&deep(32), "{}").is_ok());
    assert!(evaluate(&wide(500), "{}").is_ok());
    let literal = format!(r#"{{"$literal":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    assert!(evaluate(&literal, "{}").is_ok(), "what is inside of a literal does not count");
    for (expr, reason) in [
        ("[1]", "expected expression"),
        ("{}", "expected expression"),
        (r#"{"$add":[1,[2]]}"#, "expected expression"),
        (r#"{"$add":[1,2],"$abs":1}"#, "operator object must have exactly one key, got 2"),
        (r#"{"add":[1,2]}"#, r#"operator must start with "$", got "add""#),
        (r#"{"$mul":[1,2]}"#, r#"unknown operator "$mul""#),
        (r#"{"$add":[1]}"#, r#""$add" expects at least 2 arguments, got 1"#),
        (r#"{"$add":1}"#, r#""$add" expects at least 2 arguments, got 1"#),
        (r#"{"$abs":[]}"#, r#""$abs" expects 1 arguments, got 0"#),
        (r#"{"$round":[1,2,3]}"#, r#""$round" expects 1 to 2 arguments, got 3"#),
        (r#"{"$sum":"n"}"#, r#""$sum" is an aggregate and not allowed here"#),
        (r#"{"$dateAdd":["$d",1,"week"]}"#, r#""$dateAdd" unit must be one of: day, month, year"#),
        (&deep(33), "expression too deep (maximum 32)"),
        (&wide(501), "expression too large (maximum 500 nodes)"),
    ] {
        assert_eq!(evaluate(expr, "{}"), Err(reason.to_owned()), "{expr}");
    }
    let layout = Layout::default();
    let resolve = |path: &str| Ok(Place::of(0, path, &layout));
    let scope = Scope { resolve: &resolve, aggregates: true };
    let nested = parse(r#"{"$sum":{"$add":[1,{"$max":"n"}]}}"#, 9).expect("JSON").to_json();
    let refused = Expr::compile(&nested, ExprLimits::default(), &scope).map(|_| ());
    assert_eq!(refused, Err("aggregates cannot be nested".into()));
}

#[test]
fn operators_are_found_by_their_names() {
    for operator in Operator::ALL {
        assert_eq!(Operator::from_name(operator.name()), Some(*operator));
        assert!(operator.arity().takes(operator.arity().least));
    }
    assert_eq!(Operator::ALL.len(), 39);
}

#[test]
fn nodes_and_long_texts_take_from_the_budget() {
    fn raw(text: &str) -> Raw<'_> {
        parse(text, DEFAULT_MAX_DEPTH).expect("JSON")
    }
    let spent = |expr: &str, record: &str| {
        let budget = Budget::unlimited();
        let limits = ExprLimits::default();
        let expr = Expression::compile(&raw(expr).to_json(), limits).expect("valid");
        expr.evaluate(raw(record), NOW, &budget);
        budget.spent()
    };
    assert_eq!(spent(r#"{"$add":[1,2,3]}"#, "{}"), 4);
    let long = format!(r#"{{"s":"{}"}}"#, "x".repeat(64_000));
    assert!(spent(r#"{"$upper":"$s"}"#, &long) > 1000);
}
