//! The types as TypeScript.

use std::fmt::Write as _;

use super::model::{Bucket, Member, Model, Outcome, Rows, Type};
use super::names::{quoted, visible};
use crate::json::{Json, number_text};

const HELPERS: &str = "\
export type Json = string | number | boolean | null | Json[] | JsonObject;
export type JsonObject = { [name: string]: Json };
export type Scalar = string | number | boolean | null;
/** A filter of the query language on records of this type. */
export type Filter<R> = { [F in keyof R | \"$and\" | \"$or\"]?: unknown };
";

/// Methods that objects have in JavaScript, unless a record has a field with the
/// same name.
const INHERITED: [&str; 7] = [
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

pub(super) fn print(model: &Model) -> String {
    let mut out = format!(
        "// Types of a noexd server, made by `noexd types` {} from definitions {}.\n\
         // Records may hold fields that are not declared here, and lack those that were\n\
         // declared after they were written.\n\n{HELPERS}",
        env!("CARGO_PKG_VERSION"),
        model.hash
    );
    let printer = Printer(model);
    for bucket in &model.buckets {
        printer.bucket(&mut out, bucket);
    }
    printer.whole(&mut out);
    out
}

struct Printer<'m>(&'m Model);

impl Printer<'_> {
    fn bucket(&self, out: &mut String, bucket: &Bucket) {
        let name = &bucket.type_name;
        let _ = writeln!(out, "\n/** A record of {}. */", comment(&quoted(&bucket.name)));
        self.interface(out, name, &bucket.record, true);
        self.interface(out, &format!("{name}Insert"), &bucket.insert, false);
        self.interface(out, &format!("{name}Update"), &bucket.update, false);
        let _ = writeln!(out, "export type {name}Key = {};", self.text(&bucket.key));
    }

    fn interface(&self, out: &mut String, name: &str, members: &[Member], notes: bool) {
        let _ = writeln!(out, "export interface {name} {{");
        for member in members {
            if notes && !member.note.is_empty() {
                let _ = writeln!(out, "  /** {} */", comment(&visible(&member.note)));
            }
            let _ = writeln!(out, "  {};", self.member(member));
        }
        out.push_str("}\n");
    }

    fn whole(&self, out: &mut String) {
        let Printer(model) = self;
        out.push_str("\n/** For `connect<DB>(…)`. */\nexport interface DB {\n  buckets: {\n");
        for Bucket { name, type_name: of, .. } in &model.buckets {
            let _ = writeln!(
                out,
                "    {}: {{ record: {of}; insert: {of}Insert; update: {of}Update; key: {of}Key }};",
                property(name)
            );
        }
        out.push_str("  };\n  queries: {\n");
        for query in &model.queries {
            let _ = writeln!(
                out,
                "    {}: {{ bucket: {}; params: {}; result: {} }};",
                property(&query.name),
                quoted(&query.bucket),
                self.object(&query.params),
                self.outcome(&query.outcome)
            );
        }
        for name in &model.programs {
            let _ = writeln!(out, "    // {} is a program of the server.", comment(&quoted(name)));
        }
        out.push_str("  };\n  procedures: {\n");
        for procedure in &model.procedures {
            let input = match &procedure.input {
                Some(members) => self.object(members),
                None => "unknown".into(),
            };
            let name = property(&procedure.name);
            let _ = writeln!(out, "    {name}: {{ input: {input}; output: unknown }};");
        }
        out.push_str("  };\n  views: {\n");
        for view in &model.views {
            let columns = self.object(&view.columns);
            let _ = writeln!(out, "    {}: {columns};", property(&view.name));
        }
        out.push_str("  };\n}\n");
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Value(is) => self.text(is),
            Outcome::Rows(rows) => format!("{}[]", grouped(self.rows(rows))),
            Outcome::Groups(rows) => format!("{{ key: {}; value: number }}[]", self.rows(rows)),
        }
    }

    fn rows(&self, rows: &Rows) -> String {
        let bucket = rows.bucket.and_then(|at| self.0.buckets.get(at));
        let Some(fields) = &rows.fields else {
            return bucket.map_or("JsonObject".into(), |bucket| bucket.type_name.clone());
        };
        let is_known = |field: &&String| bucket.is_some_and(|of| of.member(field).is_some());
        let known: Vec<String> =
            fields.iter().filter(is_known).map(|field| quoted(field)).collect();
        let others: Vec<String> = fields
            .iter()
            .filter(|field| !is_known(field))
            .map(|field| format!("{}?: unknown", property(field)))
            .collect();
        let picked = match (bucket, known.is_empty()) {
            (Some(bucket), false) => format!("Pick<{}, {}>", bucket.type_name, known.join(" | ")),
            _ => String::new(),
        };
        let others = match others.is_empty() && !picked.is_empty() {
            true => String::new(),
            false => format!("{{ {} }}", others.join("; ")),
        };
        match (picked.is_empty(), others.is_empty()) {
            (false, false) => format!("{picked} & {others}"),
            _ => picked + &others,
        }
    }

    fn object(&self, members: &[Member]) -> String {
        if members.is_empty() {
            return "{ [name: string]: never }".into();
        }
        let members: Vec<String> = members.iter().map(|member| self.member(member)).collect();
        format!("{{ {} }}", members.join("; "))
    }

    fn member(&self, member: &Member) -> String {
        let (name, is) = (property(&member.name), self.text(&member.is));
        match member.optional {
            // Who asks a record without it gets what every object has.
            true if INHERITED.contains(&&*member.name) => format!("{name}?: {is} | Function"),
            true => format!("{name}?: {is}"),
            false => format!("{name}: {is}"),
        }
    }

    fn text(&self, is: &Type) -> String {
        match is {
            Type::String => "string".into(),
            Type::Number => "number".into(),
            Type::Boolean => "boolean".into(),
            Type::Null => "null".into(),
            Type::Json => "Json".into(),
            Type::JsonObject => "JsonObject".into(),
            Type::Unknown => "unknown".into(),
            Type::Never => "never".into(),
            Type::Literal(Json::String(text)) => quoted(text),
            Type::Literal(Json::Number(number)) => number_text(*number),
            Type::Literal(other) => other.to_text(),
            Type::Key(at) => {
                let bucket = self.0.buckets.get(*at);
                bucket.map_or("never".into(), |bucket| format!("{}Key", bucket.type_name))
            }
            Type::Object(shape) if shape.members.is_empty() => "JsonObject".into(),
            Type::Object(shape) => self.object(&shape.members),
            Type::Array(element) => format!("{}[]", grouped(self.text(element))),
            Type::Pair(element) => {
                let element = self.text(element);
                format!("[{element}, {element}]")
            }
            Type::Filter(bucket) => {
                let bucket = bucket.and_then(|at| self.0.buckets.get(at));
                bucket.map_or("Filter<JsonObject>".into(), |bucket| {
                    format!("Filter<{}>", bucket.type_name)
                })
            }
            Type::Union(types) if *is == Type::scalar() && types.len() == 4 => "Scalar".into(),
            Type::Union(types) => {
                let types: Vec<String> = types.iter().map(|one| self.text(one)).collect();
                types.join(" | ")
            }
        }
    }
}

/// In parentheses where `[]` would belong to the last part only.
fn grouped(text: String) -> String {
    let is_one = !text.contains(" | ") && !text.contains(" & ");
    // `Pick<…>` and `{ … }` hold their parts together.
    let is_closed = (text.starts_with("Pick<") && text.ends_with('>'))
        || (text.starts_with("{ ") && text.ends_with(" }") && !text.contains(" } & { "));
    if is_one || is_closed { text } else { format!("({text})") }
}

/// A name in front of a colon.
fn property(name: &str) -> String {
    let mut chars = name.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let is_plain = begins && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// Text that does not end the comment.
fn comment(text: &str) -> String {
    text.replace("*/", "*\\/")
}
