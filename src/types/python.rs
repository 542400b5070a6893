//! The types as Python: `TypedDict`, for 3.11 and newer.

use std::fmt::Write as _;

use super::model::{Bucket, Member, Model, Outcome, Query, Rows, Shape, Type};
use super::names::{part, quoted, visible};
use crate::json::{Json, number_text};

/// What is imported if it is used.
const TYPING: [&str; 6] = ["Any", "Literal", "Never", "NotRequired", "TypeAlias", "TypedDict"];

/// Beyond it a number is not certainly the integer that its text says.
const MAX_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Names that mean something inside of a class of types.
const KNOWN: [&str; 6] = ["bool", "dict", "float", "list", "str", "tuple"];

const KEYWORDS: [&str; 32] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

pub(super) fn print(model: &Model) -> String {
    let mut printer = Printer { model, out: String::new() };
    printer.keys();
    for bucket in &model.buckets {
        printer.bucket(bucket);
    }
    for query in &model.queries {
        printer.query(query);
    }
    for name in &model.programs {
        let _ = writeln!(printer.out, "\n\n# Query {} is a program of the server.", quoted(name));
    }
    for procedure in &model.procedures {
        let name = format!("{}Input", procedure.type_name);
        let what = format!("What procedure {} takes.", quoted(&procedure.name));
        match &procedure.input {
            Some(members) => printer.class(&name, members, &what),
            None => printer.alias(&name, "Any", &what),
        }
    }
    for view in &model.views {
        let what = format!("A row of view {}.", quoted(&view.name));
        printer.class(&format!("{}Row", view.type_name), &view.columns, &what);
    }
    let body = printer.out;
    let used: Vec<&str> = TYPING.into_iter().filter(|name| body.contains(name)).collect();
    let import = match used.is_empty() {
        true => String::new(),
        false => format!("from typing import {}\n", used.join(", ")),
    };
    format!(
        "# Types of a noexd server, made by `noexd types` {} from definitions {}.\n\
         # Records may hold fields that are not declared here, and lack those that were\n\
         # declared after they were written.\n{import}{body}",
        env!("CARGO_PKG_VERSION"),
        model.hash
    )
}

struct Printer<'m> {
    model: &'m Model,
    out: String,
}

impl Printer<'_> {
    /// All of them first, each behind the one that it is the same as.
    fn keys(&mut self) {
        let buckets = &self.model.buckets;
        let mut left: Vec<usize> = (0..buckets.len()).collect();
        if !left.is_empty() {
            self.out.push('\n');
        }
        while !left.is_empty() {
            let waits = |at: &usize| match buckets.get(*at).map(|bucket| &bucket.key) {
                Some(Type::Key(other)) => left.contains(other),
                _ => false,
            };
            let (now, later): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| !waits(at));
            for bucket in now.iter().filter_map(|at| buckets.get(*at)) {
                let text = self.text(&bucket.key);
                let _ = writeln!(self.out, "{}Key: TypeAlias = {text}", bucket.type_name);
            }
            // A circle there is none; if there were, it would end here.
            left = if now.is_empty() { Vec::new() } else { later };
        }
    }

    fn bucket(&mut self, bucket: &Bucket) {
        let (name, shown) = (&bucket.type_name, quoted(&bucket.name));
        for member in &bucket.record {
            self.nested(&member.is);
        }
        self.class(name, &bucket.record, &format!("A record of {shown}."));
        let insert = format!("What an insert into {shown} takes.");
        self.class(&format!("{name}Insert"), &bucket.insert, &insert);
        let update = format!("What an update of {shown} takes.");
        self.class(&format!("{name}Update"), &bucket.update, &update);
    }

    /// The classes of the objects inside, from the inside.
    fn nested(&mut self, is: &Type) {
        match is {
            Type::Array(element) => self.nested(element),
            Type::Union(types) => types.iter().for_each(|one| self.nested(one)),
            Type::Object(Shape { name, members }) => {
                members.iter().for_each(|member| self.nested(&member.is));
                self.class(name, members, "");
            }
            _ => {}
        }
    }

    fn query(&mut self, query: &Query) {
        let (name, shown) = (&query.type_name, quoted(&query.name));
        let params = format!("The parameters of query {shown}.");
        self.class(&format!("{name}Params"), &query.params, &params);
        let result = match &query.outcome {
            Outcome::Value(is) => self.text(is),
            Outcome::Rows(rows) => match self.record_of(rows) {
                Some(record) => format!("list[{record}]"),
                None => {
                    let row = self.row(rows);
                    self.class(&format!("{name}Row"), &row, &format!("A row of query {shown}."));
                    format!("list[{name}Row]")
                }
            },
            Outcome::Groups(rows) => {
                let key = self.row(rows);
                self.class(&format!("{name}GroupKey"), &key, "");
                let what = format!("A group of query {shown}.");
                let _ = write!(
                    self.out,
                    "\n\nclass {name}Group(TypedDict):\n    {}\n\n    key: {name}GroupKey\n    \
                     value: float\n",
                    docstring(&what)
                );
                format!("list[{name}Group]")
            }
        };
        self.alias(&format!("{name}Result"), &result, "");
    }

    /// The type of whole records.
    fn record_of(&self, rows: &Rows) -> Option<String> {
        let bucket = rows.bucket.and_then(|at| self.model.buckets.get(at));
        match (&rows.fields, bucket) {
            (Some(_), _) => None,
            (None, Some(bucket)) => Some(bucket.type_name.clone()),
            (None, None) => Some("dict[str, Any]".into()),
        }
    }

    fn row(&self, rows: &Rows) -> Vec<Member> {
        let bucket = rows.bucket.and_then(|at| self.model.buckets.get(at));
        let fields = rows.fields.as_deref().unwrap_or_default().iter();
        let member = |name: &String| {
            let known = bucket.and_then(|bucket| bucket.member(name)).cloned();
            known.unwrap_or_else(|| Member {
                name: name.clone(),
                is: Type::Unknown,
                optional: true,
                note: String::new(),
            })
        };
        fields.map(member).collect()
    }

    fn alias(&mut self, name: &str, is: &str, what: &str) {
        let _ = match what.is_empty() {
            true => writeln!(self.out, "\n\n{name}: TypeAlias = {is}"),
            false => writeln!(self.out, "\n\n# {what}\n{name}: TypeAlias = {is}"),
        };
    }

    fn class(&mut self, name: &str, members: &[Member], what: &str) {
        let has_names = members.iter().all(|member| is_name(&member.name));
        self.out.push_str("\n\n");
        if has_names {
            let _ = writeln!(self.out, "class {name}(TypedDict):");
            if !what.is_empty() {
                let _ = writeln!(self.out, "    {}", docstring(what));
            }
            if members.is_empty() && what.is_empty() {
                self.out.push_str("    pass\n");
            }
            if !members.is_empty() && !what.is_empty() {
                self.out.push('\n');
            }
        } else {
            let comment = if what.is_empty() { String::new() } else { format!("# {what}\n") };
            let _ = writeln!(self.out, "{comment}{name} = TypedDict({}, {{", quoted(name));
        }
        for member in members {
            let is = match (self.text(&member.is), member.optional) {
                (is, true) => format!("NotRequired[{is}]"),
                (is, false) => is,
            };
            let note = match member.note.is_empty() {
                true => String::new(),
                false => format!("  # {}", visible(&member.note)),
            };
            let _ = match has_names {
                true => writeln!(self.out, "    {}: {is}{note}", member.name),
                false => writeln!(self.out, "    {}: {is},{note}", quoted(&member.name)),
            };
        }
        if !has_names {
            self.out.push_str("})\n");
        }
    }

    fn text(&self, is: &Type) -> String {
        match is {
            Type::String => "str".into(),
            Type::Number => "float".into(),
            Type::Boolean => "bool".into(),
            Type::Null => "None".into(),
            Type::Json | Type::Unknown => "Any".into(),
            Type::JsonObject | Type::Filter(_) => "dict[str, Any]".into(),
            Type::Never => "Never".into(),
            Type::Literal(_) => self.union(std::slice::from_ref(is)),
            Type::Key(at) => {
                let bucket = self.model.buckets.get(*at);
                bucket.map_or("Never".into(), |bucket| format!("{}Key", bucket.type_name))
            }
            Type::Object(shape) => shape.name.clone(),
            Type::Array(element) => format!("list[{}]", self.text(element)),
            // What goes into JSON is a list as well.
            Type::Pair(element) => {
                let element = self.text(element);
                format!("tuple[{element}, {element}] | list[{element}]")
            }
            Type::Union(types) => self.union(types),
        }
    }

    /// Literals stand together; numbers with a fraction cannot be ones.
    fn union(&self, types: &[Type]) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut literals: Vec<String> = Vec::new();
        let is_float = |one: &Type| match one {
            Type::Literal(Json::Number(n)) => n.fract() != 0.0 || n.abs() > MAX_INTEGER,
            _ => false,
        };
        let floats = types.iter().any(is_float);
        for one in types {
            let text = match one {
                Type::Literal(Json::Number(_)) if floats => "float".into(),
                Type::Literal(value) => {
                    literals.push(literal(value));
                    continue;
                }
                other => self.text(other),
            };
            if !parts.contains(&text) {
                parts.push(text);
            }
        }
        if !literals.is_empty() {
            parts.insert(0, format!("Literal[{}]", literals.join(", ")));
        }
        if parts.iter().any(|part| part == "Any") {
            return "Any".into();
        }
        // At the end, whatever it stood behind.
        if let Some(at) = parts.iter().position(|part| part == "None") {
            let none = parts.remove(at);
            parts.push(none);
        }
        parts.join(" | ")
    }
}

fn literal(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Bool(true) => "True".into(),
        Json::Bool(false) => "False".into(),
        Json::Number(number) => number_text(*number),
        _ => "None".into(),
    }
}

/// Whether it may stand in the body of a class: a name there, that neither the
/// language nor the types beside it need.
fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    begins
        && part(name) == name
        && name.is_ascii()
        && !name.starts_with("__")
        && !name
            .strip_prefix('_')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && !KEYWORDS.contains(&name)
        && !KNOWN.contains(&name)
}

/// Quoted text in it is read with its escapes, and has no three quotes in a row.
fn docstring(what: &str) -> String {
    format!("\"\"\"{what}\"\"\"")
}
