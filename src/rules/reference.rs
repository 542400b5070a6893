//! References (`event.id`, `{"ref": ...}`) and interpolation (`${event.id}`):
//! parsed when a rule is registered, resolved when it runs.

use std::borrow::Cow;
use std::sync::Arc;

use crate::json::Json;

use super::cause::Cause;
use super::facts::{Fact, Facts};
use super::value::{MAX_VALUE_BYTES, Path, text_of};

/// What a reference names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reference {
    /// `event`, `trigger`; with or without a path.
    Trigger(Option<Path>),
    /// The rest of the text is the key; `${...}` in it is resolved first.
    Fact(Template),
    Var(Box<str>, Option<Path>),
    Matched(Option<usize>, Option<Path>),
    Lookup(Box<str>, Option<Path>),
    Meta(Box<str>),
    /// `fact`, `var`, `lookup`, `meta` without a name, and `baseline`.
    Missing,
    Unknown(Box<str>),
}

impl Reference {
    /// Cannot fail: what is wrong with a reference shows when it is resolved.
    pub(super) fn parse(text: &str) -> Reference {
        Self::parse_with(text, Template::parse)
    }

    /// In an interpolated text nothing is nested.
    fn parse_flat(text: &str) -> Reference {
        Self::parse_with(text, Template::literal)
    }

    fn parse_with(text: &str, key: fn(&str) -> Template) -> Reference {
        let (source, rest) = match text.split_once('.') {
            Some((source, rest)) => (source, Some(rest)),
            None => (text, None),
        };
        let named = |rest: &str| match rest.split_once('.') {
            Some((name, path)) => (Box::from(name), Some(Path::parse(path))),
            None => (Box::from(rest), None),
        };
        match (source, rest) {
            ("event" | "trigger", rest) => Reference::Trigger(rest.map(Path::parse)),
            ("fact", Some(rest)) => Reference::Fact(key(rest)),
            ("var", Some(rest)) => {
                let (name, path) = named(rest);
                Reference::Var(name, path)
            }
            ("lookup", Some(rest)) => {
                let (name, path) = named(rest);
                Reference::Lookup(name, path)
            }
            ("matched", Some(rest)) => {
                let (index, path) = named(rest);
                Reference::Matched(index.parse().ok(), path)
            }
            ("meta", Some(rest)) => Reference::Meta(rest.into()),
            ("fact" | "var" | "lookup" | "matched" | "meta", None) => Reference::Missing,
            _ => Reference::Unknown(source.into()),
        }
    }

    /// The reference of a `{"ref": "..."}` object; `None` for any other value,
    /// which then stands for itself.
    pub(super) fn of(value: &Json) -> Option<Reference> {
        value.get("ref").and_then(Json::as_str).map(Reference::parse)
    }
}

/// A text with references in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Box<str>),
    Reference(Reference),
}

impl Template {
    pub(super) fn literal(text: &str) -> Template {
        Template(Box::new([Piece::Text(text.into())]))
    }

    /// `${` up to the next `}`, at least one character, is a reference; without
    /// these it is text.
    pub(super) fn parse(text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            literal.push_str(before);
            match behind.split_once('}') {
                None => {
                    literal.push_str("${");
                    rest = behind;
                }
                Some(("", _)) => {
                    literal.push_str("${");
                    rest = behind;
                }
                Some((reference, after)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                    }
                    pieces.push(Piece::Reference(Reference::parse_flat(reference.trim())));
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Template(pieces.into_boxed_slice())
    }
}

/// Variables of loops and `catch` blocks, innermost last.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars(Vec<(Arc<str>, Json)>);

impl Vars {
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().rev().find(|(have, _)| **have == *name).map(|(_, value)| value)
    }

    pub(super) fn push(&mut self, name: &Arc<str>, value: Json) {
        self.0.push((Arc::clone(name), value));
    }

    /// Back to the variables there were: those of an outer block with the same
    /// name are visible again.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Everything a reference can see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub cause: &'a Cause,
    pub facts: &'a Facts,
    pub vars: &'a Vars,
    pub lookups: &'a [(Box<str>, Json)],
}

impl<'a> Scope<'a> {
    /// The value; `None` is missing. Fails for a source that does not exist.
    pub(super) fn resolve(self, reference: &Reference) -> Result<Option<Cow<'a, Json>>, String> {
        let within = |value: Option<&'a Json>, path: &Option<Path>| match (value, path) {
            (Some(value), Some(path)) => path.find(value),
            (value, None) => value.map(Cow::Borrowed),
            (None, _) => None,
        };
        Ok(match reference {
            Reference::Trigger(Some(path)) => self.cause.data.find(path),
            Reference::Trigger(None) => Some(Cow::Borrowed(self.cause.data.whole())),
            Reference::Fact(key) => {
                self.facts.get(&self.text(key)?).and_then(|fact| self.read(fact)).map(Cow::Owned)
            }
            Reference::Var(name, path) => within(self.vars.get(name), path),
            Reference::Lookup(name, path) => {
                within(self.lookups.iter().find(|(have, _)| have == name).map(|(_, v)| v), path)
            }
            Reference::Matched(index, path) => {
                within(index.and_then(|index| self.cause.matched(index)), path)
            }
            Reference::Meta(name) => {
                self.cause.event.as_ref().and_then(|event| event.meta(name)).map(Cow::Owned)
            }
            Reference::Missing => None,
            Reference::Unknown(source) => {
                return Err(format!("Unknown reference source: {source}"));
            }
        })
    }

    /// The value of a fact, which costs something.
    pub(super) fn read(self, fact: &Fact) -> Option<Json> {
        self.cause.budget.take_bytes(fact.size());
        fact.value()
    }

    /// The text of a template.
    pub(super) fn text<'t>(self, template: &'t Template) -> Result<Cow<'t, str>, String> {
        match &*template.0 {
            [] => return Ok(Cow::Borrowed("")),
            [Piece::Text(text)] => return Ok(Cow::Borrowed(text)),
            _ => {}
        }
        let mut out = String::new();
        for piece in &template.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Reference(reference) => {
                    let value = self.resolve(reference)?;
                    out.push_str(&text_of(value.as_deref()));
                }
            }
            if out.len() > MAX_VALUE_BYTES {
                return Err(format!("text is too long (max {MAX_VALUE_BYTES} bytes)"));
            }
        }
        self.cause.budget.take_bytes(out.len());
        Ok(Cow::Owned(out))
    }
}

/// A member of a definition that is a value or a reference to one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Literal(Json),
    Reference(Reference),
}

impl Operand {
    pub(super) fn new(value: &Json) -> Operand {
        match Reference::of(value) {
            Some(reference) => Operand::Reference(reference),
            None => Operand::Literal(value.clone()),
        }
    }

    pub(super) fn resolve<'a>(&'a self, scope: Scope<'a>) -> Result<Option<Cow<'a, Json>>, String> {
        match self {
            Operand::Literal(value) => Ok(Some(Cow::Borrowed(value))),
            Operand::Reference(reference) => scope.resolve(reference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Budget, Event};
    use super::super::facts::Source;
    use super::*;
    use crate::json::parse;

    fn json(text: &str) -> Json {
        parse(text, 64).expect("valid").to_json()
    }

    struct World {
        cause: Cause,
        facts: Facts,
        vars: Vars,
        lookups: Vec<(Box<str>, Json)>,
    }

    impl World {
        fn new() -> World {
            let event = Arc::new(Event {
                id: "ev".into(),
                topic: "a.b".into(),
                data: Arc::new(json(r#"{"id":"s4","n":1.50,"o":{"x":1},"l":[1,2],"z":null}"#)),
                timestamp: 99,
                correlation_id: None,
                causation_id: None,
                source: Source::Api,
            });
            let mut facts = Facts::default();
            facts.set("room:s4.max", Some(&json("70")), 1, Source::Api);
            facts.set("${event.id}", Some(&json("\"odd\"")), 1, Source::Api);
            let mut vars = Vars::default();
            vars.push(&"i".into(), json(r#"{"k":[5]}"#));
            vars.push(&"i".into(), json("8"));
            World {
                cause: Cause::event(
                    &event,
                    1,
                    &Budget::new(5, &crate::budget::Budget::unlimited()),
                ),
                facts,
                vars,
                lookups: vec![("user".into(), json(r#"{"name":"Ann"}"#))],
            }
        }

        fn scope(&self) -> Scope<'_> {
            Scope {
                cause: &self.cause,
                facts: &self.facts,
                vars: &self.vars,
                lookups: &self.lookups,
            }
        }

        fn reference(&self, text: &str) -> Result<Option<String>, String> {
            let resolved = self.scope().resolve(&Reference::parse(text))?;
            Ok(resolved.map(|value| value.to_text()))
        }

        fn text(&self, template: &str) -> Result<String, String> {
            self.scope().text(&Template::parse(template)).map(Cow::into_owned)
        }
    }

    #[test]
    fn sources() {
        let world = World::new();
        for (reference, expected) in [
            ("event.id", Some("\"s4\"")),
            ("trigger.o.x", Some("1")),
            ("event.z", Some("null")),
            ("event.gone", None),
            ("event.", None),
            ("fact.room:s4.max", Some("70")),
            ("fact.room:${event.id}.max", Some("70")),
            ("fact.none", None),
            ("fact", None),
            ("var.i", Some("8")),
            ("var.i.k", None),
            ("matched.0.id", Some("\"s4\"")),
            ("matched.1", None),
            ("matched.x", None),
            ("lookup.user.name", Some("\"Ann\"")),
            ("lookup.user", Some(r#"{"name":"Ann"}"#)),
            ("lookup.other", None),
            ("meta.topic", Some("\"a.b\"")),
            ("meta.timestamp", Some("99")),
            ("meta.source", Some("\"api\"")),
            ("meta.correlationId", None),
            ("meta.data", None),
        ] {
            assert_eq!(world.reference(reference), Ok(expected.map(str::to_owned)), "{reference}");
        }
        assert_eq!(
            world.reference("baseline.x"),
            Err("Unknown reference source: baseline".to_owned())
        );
        assert_eq!(world.reference("x"), Err("Unknown reference source: x".to_owned()));
        let mut vars = world.vars.clone();
        vars.truncate(1);
        assert_eq!(vars.get("i").map(Json::to_text).as_deref(), Some(r#"{"k":[5]}"#));
    }

    #[test]
    fn texts() {
        let world = World::new();
        for (template, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a:${event.id}:${event.n}", "a:s4:1.5"),
            ("${ event.id }", "s4"),
            ("${event.gone}|${event.z}", "|"),
            ("${event.l}", "1,2"),
            ("${event.o}", r#"{"x":1}"#),
            ("${}x", "${}x"),
            ("${", "${"),
            ("$${event.id}}", "$s4}"),
            ("${}${event.id}", "${}s4"),
            ("a${event.id", "a${event.id"),
            // Nothing is nested inside an interpolated reference.
            ("${fact.room:s4.max}", "70"),
        ] {
            assert_eq!(world.text(template).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(world.text("${now.time}"), Err("Unknown reference source: now".to_owned()));
    }

    #[test]
    fn texts_are_bounded() {
        let mut world = World::new();
        world.vars.push(&"big".into(), Json::string("x".repeat(MAX_VALUE_BYTES)));
        assert_eq!(world.text("${var.big}").map(|text| text.len()), Ok(MAX_VALUE_BYTES));
        assert_eq!(
            world.text("${var.big}${var.big}"),
            Err("text is too long (max 1048576 bytes)".to_owned())
        );
    }
}
