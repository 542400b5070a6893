//! Random expressions against an interpreter that is written from the
//! specification: over trees, with nothing shared but JSON and the calendar's
//! text (dates have a test of their own).

use super::ExprLimits;
use crate::budget::Budget;
use crate::json::{Json, Object, parse};
use crate::logic::Expression;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn json(&mut self, text: &[&str]) -> Json {
        let at = self.below(text.len());
        parse(text[at], 64).expect("JSON").to_json()
    }

    fn expr(&mut self, depth: usize) -> Json {
        if depth == 0 || self.below(4) == 0 {
            return self.json(&[
                "0",
                "1",
                "-2.5",
                "1e300",
                "3",
                "\"\"",
                "\"a\"",
                "\"Äb c \"",
                "\"$\"",
                "null",
                "true",
                "false",
                "\"$n\"",
                "\"$s\"",
                "\"$z\"",
                "\"$gone\"",
                "\"$a\"",
                "\"$a.1\"",
                "\"$o.p\"",
                "\"$o\"",
                "\"$t\"",
                "\"$a.x\"",
                r#"{"$literal":[1,"a",{"k":null}]}"#,
            ]);
        }
        const OPERATORS: [(&str, usize, usize); 27] = [
            ("$add", 2, 3),
            ("$multiply", 2, 3),
            ("$subtract", 2, 2),
            ("$divide", 2, 2),
            ("$mod", 2, 2),
            ("$abs", 1, 1),
            ("$floor", 1, 1),
            ("$ceil", 1, 1),
            ("$eq", 2, 2),
            ("$neq", 2, 2),
            ("$gt", 2, 2),
            ("$gte", 2, 2),
            ("$lt", 2, 2),
            ("$lte", 2, 2),
            ("$between", 3, 3),
            ("$in", 2, 2),
            ("$and", 0, 3),
            ("$or", 0, 3),
            ("$not", 1, 1),
            ("$cond", 3, 3),
            ("$concat", 0, 3),
            ("$upper", 1, 1),
            ("$lower", 1, 1),
            ("$length", 1, 1),
            ("$trim", 1, 1),
            ("$substring", 2, 3),
            ("$now", 1, 1),
        ];
        let (name, least, most) = OPERATORS[self.below(OPERATORS.len())];
        let count = least + self.below(most - least + 1);
        let mut args: Vec<Json> = (0..count).map(|_| self.expr(depth - 1)).collect();
        if name == "$in" && self.below(2) == 0 {
            let list = (0..self.below(3)).map(|_| self.expr(depth - 1)).collect();
            args[1] = Json::Array(list);
        }
        let args = match (args.len(), self.below(2)) {
            (1, 0) => args.remove(0),
            _ => Json::Array(args),
        };
        Json::Object([(name, args)].into_iter().collect::<Object>())
    }
}

fn number(value: f64) -> Json {
    if value.is_finite() { Json::Number(value) } else { Json::Null }
}

fn truth(value: &Json) -> bool {
    !matches!(value, Json::Null | Json::Bool(false))
        && value.as_number() != Some(0.0)
        && value.as_str() != Some("")
}

fn less(a: &Json, b: &Json) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.partial_cmp(b),
        (Json::String(a), Json::String(b)) => {
            Some(a.encode_utf16().collect::<Vec<_>>().cmp(&b.encode_utf16().collect()))
        }
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.to_string(),
        other => other.to_text(),
    }
}

fn eval(expr: &Json, record: &Json) -> Json {
    match expr {
        Json::String(path) if path.len() > 1 && path.starts_with('$') => {
            let mut here = record.clone();
            for name in path[1..].split('.') {
                here = match &here {
                    Json::Object(object) => object.get(name).cloned().unwrap_or_default(),
                    Json::Array(list) => {
                        let at: Option<usize> = name.parse().ok();
                        at.and_then(|at| list.get(at)).cloned().unwrap_or_default()
                    }
                    _ => Json::Null,
                };
            }
            here
        }
        Json::Object(object) => {
            let (name, args) = object.iter().next().expect("one member");
            if name == "$literal" {
                return args.clone();
            }
            let list = args.as_array().map_or_else(|| vec![args.clone()], <[Json]>::to_vec);
            operate(name, &list, record)
        }
        other => other.clone(),
    }
}

fn operate(name: &str, args: &[Json], record: &Json) -> Json {
    if let ("$in", [wanted, Json::Array(list)]) = (name, args) {
        let wanted = eval(wanted, record);
        return Json::Bool(list.iter().any(|element| eval(element, record) == wanted));
    }
    let values: Vec<Json> = args.iter().map(|arg| eval(arg, record)).collect();
    let numbers: Option<Vec<f64>> = values.iter().map(Json::as_number).collect();
    let compare = |a: usize, b: usize| less(&values[a], &values[b]);
    let arithmetic = |f: &dyn Fn(&[f64]) -> f64| {
        numbers.as_ref().map_or(Json::Null, |numbers| number(f(numbers)))
    };
    let changed = |f: &dyn Fn(&str) -> String| {
        values[0].as_str().map_or(Json::Null, |text| Json::from(f(text)))
    };
    match name {
        "$add" => arithmetic(&|n| n[1..].iter().fold(n[0], |sum, n| sum + n)),
        "$multiply" => arithmetic(&|n| n[1..].iter().fold(n[0], |sum, n| sum * n)),
        "$subtract" => arithmetic(&|n| n[0] - n[1]),
        "$divide" => arithmetic(&|n| n[0] / n[1]),
        "$mod" => arithmetic(&|n| n[0] % n[1]),
        "$abs" => arithmetic(&|n| n[0].abs()),
        "$floor" => arithmetic(&|n| n[0].floor()),
        "$ceil" => arithmetic(&|n| n[0].ceil()),
        "$eq" => Json::Bool(values[0] == values[1]),
        "$neq" => Json::Bool(values[0] != values[1]),
        "$gt" => Json::Bool(compare(0, 1).is_some_and(|order| order.is_gt())),
        "$gte" => Json::Bool(compare(0, 1).is_some_and(|order| order.is_ge())),
        "$lt" => Json::Bool(compare(0, 1).is_some_and(|order| order.is_lt())),
        "$lte" => Json::Bool(compare(0, 1).is_some_and(|order| order.is_le())),
        "$between" => Json::Bool(
            compare(0, 1).is_some_and(|order| order.is_ge())
                && compare(0, 2).is_some_and(|order| order.is_le()),
        ),
        "$in" => Json::Bool(values[1].as_array().is_some_and(|list| list.contains(&values[0]))),
        "$and" => Json::Bool(values.iter().all(truth)),
        "$or" => Json::Bool(values.iter().any(truth)),
        "$not" => Json::Bool(!truth(&values[0])),
        "$cond" => values[if truth(&values[0]) { 1 } else { 2 }].clone(),
        "$concat" => Json::from(values.iter().map(text).collect::<String>()),
        "$upper" => changed(&str::to_uppercase),
        "$lower" => changed(&str::to_lowercase),
        "$trim" => changed(&|text| text.trim().to_owned()),
        "$length" => match &values[0] {
            Json::String(text) => Json::Number(text.chars().count() as f64),
            Json::Array(list) => Json::Number(list.len() as f64),
            _ => Json::Null,
        },
        "$substring" => {
            let Json::String(text) = &values[0] else { return Json::Null };
            let chars: Vec<char> = text.chars().collect();
            let rest = values.get(1..).unwrap_or_default();
            let rest: Option<Vec<f64>> = rest.iter().map(Json::as_number).collect();
            let Some(rest) = rest else { return Json::Null };
            let start = rest[0].trunc();
            let start = if start < 0.0 { (chars.len() as f64 + start).max(0.0) } else { start };
            let count = rest.get(1).map_or(f64::INFINITY, |count| count.trunc().max(0.0));
            let picked = chars
                .iter()
                .enumerate()
                .filter(|(at, _)| *at as f64 >= start && (*at as f64) < start + count);
            Json::from(picked.map(|(_, c)| *c).collect::<String>())
        }
        "$now" => Json::Number(5.0),
        other => panic!("{other}"),
    }
}

#[test]
fn random_expressions_are_what_a_naive_interpreter_says() {
    let source = r#"{"n":7,"s":" äB","z":null,"a":[1,"a",{"k":null}],"o":{"p":2.5},"t":true}"#;
    let record = parse(source, 64).expect("JSON");
    let tree = record.to_json();
    let budget = Budget::unlimited();
    let mut random = Random(88_172_645_463_325_252);
    let limits = ExprLimits { depth: 64, nodes: 100_000 };
    for round in 0..20_000 {
        let expr = random.expr(1 + round % 5);
        let compiled = Expression::compile(&expr, limits).expect("a valid expression");
        let got = compiled.evaluate(record, 5.0, &budget).to_text();
        assert_eq!(got, eval(&expr, &tree).to_text(), "{expr}");
    }
}
