//! Names of types from names of definitions, each once.

use std::collections::HashSet;

/// What the printed files use themselves, or the languages keep.
const TAKEN: [&str; 17] = [
    "Any",
    "Client",
    "DB",
    "False",
    "Filter",
    "Json",
    "JsonObject",
    "Literal",
    "Live",
    "Never",
    "None",
    "NotRequired",
    "Pick",
    "Scalar",
    "True",
    "TypeAlias",
    "TypedDict",
];

#[derive(Debug)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub fn new() -> Self {
        Names(TAKEN.iter().map(|name| (*name).to_owned()).collect())
    }

    /// A name for which all of these endings are free; takes them.
    pub fn family(&mut self, base: &str, endings: &[&str]) -> String {
        let mut name = base.to_owned();
        let mut number = 2u64;
        while endings.iter().any(|ending| self.0.contains(&format!("{name}{ending}"))) {
            name = format!("{base}_{number}");
            number = number.saturating_add(1);
        }
        self.0.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        name
    }
}

/// `low-stock` as `LowStock`: letters and digits, each word with a capital.
pub(super) fn pascal(name: &str) -> String {
    let mut out = String::new();
    let mut begins = true;
    for c in name.chars() {
        if !is_letter(c) && !c.is_ascii_digit() {
            begins = true;
            continue;
        }
        if out.is_empty() && c.is_ascii_digit() {
            out.push('_');
        }
        let mut upper = c.to_uppercase();
        match (begins, upper.next(), upper.next()) {
            (true, Some(first), None) => out.push(first),
            _ => out.push(c),
        }
        begins = false;
    }
    if out.is_empty() { "Unnamed".into() } else { out }
}

/// A part of a name behind an underscore: other characters become underscores.
pub(super) fn part(name: &str) -> String {
    name.chars().map(|c| if is_letter(c) || c.is_ascii_digit() { c } else { '_' }).collect()
}

/// Letters that may begin a name in TypeScript and in Python, and that Python
/// does not replace by others (it compares names in NFKC).
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (c.is_alphabetic()
            && matches!(c,
                '\u{c0}'..='\u{131}' | '\u{134}'..='\u{13e}' | '\u{141}'..='\u{148}'
                | '\u{14a}'..='\u{17e}' | '\u{391}'..='\u{3c9}' | '\u{400}'..='\u{481}'
                | '\u{48a}'..='\u{52f}' | '\u{5d0}'..='\u{5ea}' | '\u{620}'..='\u{63f}'
                | '\u{641}'..='\u{64a}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
                | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'))
}

/// Text in double quotes, as JavaScript and Python read it. What is not seen, or
/// would end a line, is escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text of a comment: what is not seen is escaped, the rest is as it is.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match is_hidden(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Controls, ends of lines, and what changes the direction of the text around.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types() {
        for (name, is) in [
            ("parts", "Parts"),
            ("low-stock", "LowStock"),
            ("low_stock2", "LowStock2"),
            ("2fast 4u", "_2fast4u"),
            ("größe", "Größe"),
            ("ß", "ß"),
            ("日本", "日本"),
            ("ﬁsh", "Sh"),
            ("", "Unnamed"),
            ("\"'*/", "Unnamed"),
            ("__proto__", "Proto"),
        ] {
            assert_eq!(pascal(name), is, "{name}");
        }
        let mut names = Names::new();
        assert_eq!(names.family("Parts", &["", "Insert"]), "Parts");
        assert_eq!(names.family("PartsInsert", &[""]), "PartsInsert_2");
        assert_eq!(names.family("Parts", &["", "Insert"]), "Parts_2");
        assert_eq!(names.family("Any", &[""]), "Any_2");
    }

    #[test]
    fn quotes_hold() {
        assert_eq!(quoted("a\"b\\\n\u{202e}\u{0}é😀"), "\"a\\\"b\\\\\\n\\u202e\\u0000é😀\"");
    }
}
