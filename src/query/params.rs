//! Placeholders in the filter of a query, and the values a subscriber gives.
//!
//! A string that is a placeholder as a whole stands for one parameter; its
//! value is put in with its JSON type, so that a list can serve `$in` and an
//! object of operators can become a condition. Nothing else in the filter is
//! interpreted here: the result is an ordinary filter.
//!
//! A parameter that was not given is *undefined*, which JSON cannot say: hence
//! [`Term`], a filter in which values may be undefined.

use std::collections::BTreeSet;

use crate::budget::Budget;
use crate::json::js::is_white_space;
use crate::json::{Json, Kind, Object, Raw};
use crate::protocol::OpError;
use crate::store::filter::{Substitute, Term};

/// The name inside `{{ params.name }}`, if the whole text is a placeholder.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let name = inside.trim_matches(is_white_space).strip_prefix("params.")?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(valid)).then_some(name)
}

/// The filter of a query as it was defined.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    filter: Json,
    names: Vec<Box<str>>,
    /// Those of them that stand where a scalar belongs: as the condition of a
    /// field, or as the operand of an operator that does not take a list.
    scalars: BTreeSet<Box<str>>,
    strict: bool,
    /// What looks like a placeholder is that text.
    is_literal: bool,
}

/// What the parameters of a subscription are, as far as its query asks for
/// them: one per name of the template, `None` where it was not given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    values: Vec<Option<Json>>,
}

impl Params {
    /// Equal texts mean equal parameters. Part of the key of a view.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        for value in &self.values {
            if let Some(value) = value {
                value.write_lossless(&mut out);
            }
            out.push(b',');
        }
        String::from_utf8(out).unwrap_or_default()
    }
}

impl Template {
    /// `filter` is an object.
    pub fn new(filter: Json, strict: bool) -> Self {
        let mut names = BTreeSet::new();
        collect(&filter, &mut names);
        let names = names.into_iter().map(Into::into).collect();
        let mut scalars = BTreeSet::new();
        scalar_places(&filter, &mut scalars);
        Template { filter, names, scalars, strict, is_literal: false }
    }

    /// A filter without placeholders, whatever it looks like.
    pub fn literal(filter: Json) -> Self {
        let (names, scalars) = Default::default();
        Template { filter, names, scalars, strict: false, is_literal: true }
    }

    /// The parameters it mentions, in alphabetical order.
    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Takes what this filter needs out of the `params` of a request.
    /// Parameters are members of an object; an array or a string has the
    /// members it has in JavaScript: indices and `length`.
    pub fn params(&self, given: Option<Raw<'_>>) -> Params {
        let given = given.map(Raw::to_json);
        let values = self.names.iter().map(|name| given.as_ref().and_then(|v| member(v, name)));
        Params { values: values.collect() }
    }

    /// The parameters under their names, for people.
    pub fn describe(&self, params: &Params) -> Json {
        let given = self.names.iter().zip(&params.values);
        let given = given.filter_map(|(name, value)| Some((&**name, value.clone()?)));
        Json::Object(given.collect())
    }

    /// The filter with the parameters in place; one that was not given is
    /// undefined. With strict parameters that is an error, as is a list or an
    /// object where a scalar belongs.
    pub fn fill(&self, params: &Params, budget: &Budget) -> Result<Term, OpError> {
        if self.is_literal {
            return Ok(Term::of_json(&self.filter));
        }
        if self.strict {
            for (name, value) in self.names.iter().zip(&params.values) {
                let message = match value {
                    None => format!("Missing query parameter \"{name}\""),
                    Some(Json::Array(_) | Json::Object(_)) if self.scalars.contains(name) => {
                        format!("Invalid query parameter \"{name}\"")
                    }
                    Some(_) => continue,
                };
                return Err(OpError::validation(message));
            }
        }
        // A long value may stand in many places.
        let sizes: Vec<usize> = params.values.iter().map(|v| v.as_ref().map_or(0, size)).collect();
        let term = Term::interpolate(&self.filter, &mut |text| match placeholder(text) {
            None => Substitute::Literal,
            Some(name) => {
                let at = self.names.binary_search_by(|have| (**have).cmp(name)).ok();
                let long = at.and_then(|at| sizes.get(at)).copied().unwrap_or(0);
                let value = at.and_then(|at| params.values.get(at)).and_then(Option::as_ref);
                let value = value.filter(|_| budget.spend(long as u64).is_ok());
                value.map_or(Substitute::Undefined, |value| Substitute::Value(value.clone()))
            }
        });
        budget.check()?;
        Ok(term)
    }

    /// The filter with values in place of the placeholders that fit where they
    /// stand: valid if and only if what was written around them is.
    pub fn sample(&self) -> Json {
        fn sample(value: &Json, stand_in: &Json) -> Json {
            match value {
                Json::String(text) if placeholder(text).is_some() => stand_in.clone(),
                Json::Array(elements) => {
                    let inner = if *stand_in == Json::Array(Vec::new()) {
                        // An element of `$and` or `$or`: a filter. In other
                        // lists any element is valid.
                        Json::Object(Object::new())
                    } else {
                        Json::Null
                    };
                    Json::Array(elements.iter().map(|e| sample(e, &inner)).collect())
                }
                Json::Object(object) => {
                    let members = object.iter().map(|(name, value)| {
                        let fits = match name {
                            "$in" | "$nin" | "$or" | "$and" => Json::Array(Vec::new()),
                            "$between" => Json::Array(vec![Json::Null, Json::Null]),
                            "$contains" | "$startsWith" | "$endsWith" | "$search" => {
                                Json::string("")
                            }
                            "$exists" => Json::Bool(true),
                            _ => Json::Null,
                        };
                        (name, sample(value, &fits))
                    });
                    Json::Object(members.collect())
                }
                other => other.clone(),
            }
        }
        sample(&self.filter, &Json::Null)
    }
}

fn collect<'j>(value: &'j Json, names: &mut BTreeSet<&'j str>) {
    match value {
        Json::String(text) => names.extend(placeholder(text)),
        Json::Array(elements) => elements.iter().for_each(|element| collect(element, names)),
        Json::Object(object) => object.values().for_each(|value| collect(value, names)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Names of placeholders where a scalar belongs, in a filter.
fn scalar_places(filter: &Json, names: &mut BTreeSet<Box<str>>) {
    let mut scalar = |value: &Json| {
        names.extend(value.as_str().and_then(placeholder).map(Into::into));
    };
    let mut inner = Vec::new();
    for (name, condition) in filter.as_object().into_iter().flat_map(Object::iter) {
        match (name, condition) {
            ("$or" | "$and", list) => inner.extend(list.as_array().unwrap_or_default()),
            (_, Json::Object(operators)) if is_operators(operators) => {
                for (operator, operand) in operators.iter() {
                    match operand {
                        Json::Array(elements) => elements.iter().for_each(&mut scalar),
                        _ if matches!(operator, "$in" | "$nin" | "$between") => {}
                        operand => scalar(operand),
                    }
                }
            }
            (_, condition) => scalar(condition),
        }
    }
    for filter in inner {
        scalar_places(filter, names);
    }
}

/// Values and characters in it, about.
fn size(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
        Json::String(text) => 1 + text.len() / 64,
        Json::Array(elements) => 1 + elements.iter().map(size).sum::<usize>(),
        Json::Object(object) => 1 + object.values().map(size).sum::<usize>(),
    }
}

/// `params[name]`
fn member(params: &Json, name: &str) -> Option<Json> {
    match params {
        Json::Object(object) => object.get(name).cloned(),
        Json::Array(elements) if name == "length" => Some(Json::Number(elements.len() as f64)),
        Json::Array(elements) => elements.get(index(name)?).cloned(),
        Json::String(text) if name == "length" => {
            Some(Json::Number(text.encode_utf16().count() as f64))
        }
        Json::String(text) => {
            let unit = text.encode_utf16().nth(index(name)?)?;
            // Half of a pair of surrogates is no text in UTF-8.
            char::from_u32(u32::from(unit)).map(|c| Json::string(c.to_string()))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

/// An array index in its only spelling.
fn index(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with('0');
    name.parse().ok().filter(|_| canonical && name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether an object is a list of operators and not an ordinary value.
fn is_operators(object: &Object) -> bool {
    !object.is_empty() && object.keys().all(|name| name.starts_with('$'))
}

/// Whether `params` of a request counts as given.
pub(crate) fn given(params: Option<Raw<'_>>) -> Option<Raw<'_>> {
    params.filter(|raw| raw.kind() != Kind::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn json(text: &str) -> Json {
        parse(text, 64).expect("JSON").to_json()
    }

    fn fill(filter: &str, params: &str, strict: bool) -> Result<Term, OpError> {
        let template = Template::new(json(filter), strict);
        let given = (!params.is_empty()).then(|| parse(params, 64).expect("JSON"));
        template.fill(&template.params(given), &Budget::unlimited())
    }

    #[test]
    fn only_a_whole_string_is_a_placeholder() {
        for (text, name) in [
            ("{{params.a}}", Some("a")),
            ("{{ params.a_B9 }}", Some("a_B9")),
            ("{{\u{a0}\n params.0\t}}", Some("0")),
            (" {{params.a}}", None),
            ("{{params.a}}x", None),
            ("{{params.a.b}}", None),
            ("{{params.}}", None),
            ("{{param.a}}", None),
            ("{{a}}", None),
            ("{{params. a}}", None),
            ("{{params.ä}}", None),
            ("{params.a}", None),
            ("{{}}", None),
            ("{{}", None),
        ] {
            assert_eq!(placeholder(text), name, "{text}");
        }
    }

    #[test]
    fn values_keep_their_type() {
        let cases = [
            (r#"{"f":"{{params.a}}"}"#, r#"{"a":{"$gt":5}}"#, r#"{"f":{"$gt":5}}"#),
            (r#"{"f":{"$in":"{{params.a}}"}}"#, r#"{"a":[1,"1"]}"#, r#"{"f":{"$in":[1,"1"]}}"#),
            (r#"{"$or":"{{params.a}}"}"#, r#"{"a":[{"x":1}]}"#, r#"{"$or":[{"x":1}]}"#),
            (r#"{"f":"{{params.a}}"}"#, r#"{"a":null}"#, r#"{"f":null}"#),
            (r#"{"f":"{{params.a}}"}"#, r#"{"a":"{{params.b}}","b":1}"#, r#"{"f":"{{params.b}}"}"#),
            (r#"{"{{params.a}}":1}"#, r#"{"a":"f"}"#, r#"{"{{params.a}}":1}"#),
            (r#"{"f":"{{params.length}}"}"#, r#"["x","y"]"#, r#"{"f":2}"#),
            (r#"{"f":"{{params.1}}"}"#, r#"["x","y"]"#, r#"{"f":"y"}"#),
            (r#"{"f":"{{params.0}}"}"#, r#""xyz""#, r#"{"f":"x"}"#),
            (r#"{"f":"{{params.length}}"}"#, "\"a\u{1f600}\"", r#"{"f":3}"#),
        ];
        for (filter, params, expected) in cases {
            let expected = Term::of_json(&json(expected));
            assert_eq!(fill(filter, params, false), Ok(expected), "{filter} {params}");
        }
    }

    #[test]
    fn a_parameter_that_was_not_given_is_undefined() {
        for params in ["", "{}", r#"{"b":1}"#, "5", "false", r#""x""#, "[1]"] {
            let term = fill(r#"{"f":"{{params.a}}"}"#, params, false);
            assert_eq!(term, Ok(Term::Object(vec![("f".into(), Term::Undefined)])), "{params}");
        }
    }

    #[test]
    fn strict_parameters_cannot_widen_a_filter() {
        let cases = [
            (r#"{"f":"{{params.a}}"}"#, "{}", Err("Missing query parameter \"a\"")),
            (r#"{"f":"{{params.a}}"}"#, r#"{"a":{"$gt":0}}"#, Err("Invalid query parameter \"a\"")),
            (
                r#"{"f":{"$gt":"{{params.a}}"}}"#,
                r#"{"a":[1]}"#,
                Err("Invalid query parameter \"a\""),
            ),
            (r#"{"f":{"$in":"{{params.a}}"}}"#, r#"{"a":[1]}"#, Ok(r#"{"f":{"$in":[1]}}"#)),
            (r#"{"f":"{{params.a}}"}"#, r#"{"a":null}"#, Ok(r#"{"f":null}"#)),
        ];
        for (filter, params, expected) in cases {
            let got = fill(filter, params, true).map_err(|error| error.message.into_owned());
            let expected = expected.map(|text| Term::of_json(&json(text))).map_err(str::to_owned);
            assert_eq!(got, expected, "{filter} {params}");
        }
    }

    #[test]
    fn a_sample_is_valid_where_the_placeholders_are() {
        let filter = r#"{"a":"{{params.a}}","b":{"$in":"{{params.a}}","$exists":"{{params.a}}"},
            "c":{"$between":["{{params.a}}",5]},"d":{"$contains":"{{params.a}}"},
            "t":{"$search":"{{params.a}}"},"$or":["{{params.a}}",{"e":{"$gt":"{{params.a}}"}}],"$and":"{{params.a}}","g":"x"}"#;
        let expected = r#"{"a":null,"b":{"$in":[],"$exists":true},"c":{"$between":[null,5]},"d":{"$contains":""},"t":{"$search":""},"$or":[{},{"e":{"$gt":null}}],"$and":[],"g":"x"}"#;
        assert_eq!(Template::new(json(filter), false).sample().to_text(), expected);
    }

    #[test]
    fn parameters_are_told_apart_by_their_text() {
        let template = Template::new(json(r#"{"f":"{{params.a}}","g":"{{params.b}}"}"#), false);
        let text = |params| template.params(Some(parse(params, 8).expect("JSON"))).text();
        assert_eq!(template.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(text(r#"{"a":1,"c":5}"#), text(r#"{"c":6,"a":1.0}"#));
        assert_ne!(text(r#"{"a":1}"#), text(r#"{"b":1}"#));
        assert_ne!(text(r#"{"a":1}"#), text(r#"{"a":"1"}"#));
        assert_ne!(text(r#"{"a":null}"#), text("{}"));
    }
}
