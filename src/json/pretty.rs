//! JSON for people: what fits into a line stands in one.

use super::number::write_number_lossless;
use super::{Json, write_string};

const INDENT: usize = 2;

impl Json {
    /// The value over as many lines of at most `width` bytes as it needs, without
    /// a line break at the end. Reads back as the same value.
    pub fn to_pretty(&self, width: usize) -> String {
        let mut printer = Printer { out: Vec::new(), width, line: 0 };
        printer.value(self, 0, 0);
        String::from_utf8(printer.out).unwrap_or_default()
    }
}

struct Printer {
    out: Vec<u8>,
    width: usize,
    /// Where the present line begins.
    line: usize,
}

impl Printer {
    /// `behind`: what has to follow on the same line.
    fn value(&mut self, value: &Json, indent: usize, behind: usize) {
        let before = self.out.len();
        let most = (self.line + self.width).saturating_sub(behind);
        if inline(&mut self.out, value, most) {
            return;
        }
        self.out.truncate(before);
        let inner = indent + INDENT;
        match value {
            Json::Array(elements) => {
                self.out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    self.begin(at > 0, inner);
                    self.value(element, inner, 1);
                }
                self.end(indent, b']');
            }
            Json::Object(object) => {
                self.out.push(b'{');
                for (at, (name, value)) in object.iter().enumerate() {
                    self.begin(at > 0, inner);
                    write_string(&mut self.out, name);
                    self.out.extend_from_slice(b": ");
                    self.value(value, inner, 1);
                }
                self.end(indent, b'}');
            }
            // It is as long as it is.
            scalar => scalar.write_lossless(&mut self.out),
        }
    }

    fn begin(&mut self, follows: bool, indent: usize) {
        if follows {
            self.out.push(b',');
        }
        self.new_line(indent);
    }

    fn end(&mut self, indent: usize, bracket: u8) {
        self.new_line(indent);
        self.out.push(bracket);
    }

    fn new_line(&mut self, indent: usize) {
        self.out.push(b'\n');
        self.line = self.out.len();
        self.out.resize(self.line + indent, b' ');
    }
}

/// Appends the value on the present line; `false`, with something left half
/// done, if that made the output longer than `most`.
fn inline(out: &mut Vec<u8>, value: &Json, most: usize) -> bool {
    match value {
        Json::Array(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                if !inline(out, element, most) {
                    return false;
                }
            }
            out.push(b']');
        }
        Json::Object(object) => {
            out.push(b'{');
            for (at, (name, value)) in object.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                write_string(out, name);
                out.extend_from_slice(b": ");
                if !inline(out, value, most) {
                    return false;
                }
            }
            out.push(b'}');
        }
        Json::Number(number) => write_number_lossless(out, *number),
        other => other.write(out),
    }
    out.len() <= most
}

#[cfg(test)]
mod tests {
    use crate::json::{self, Json};

    fn value(text: &str) -> Json {
        json::parse(text, 32).expect(text).to_json()
    }

    #[test]
    fn what_fits_stands_on_one_line() {
        let value = value(r#"{"a":[1,2],"b":{"c":"x","d":null},"e":[]}"#);
        assert_eq!(value.to_pretty(80), r#"{"a": [1, 2], "b": {"c": "x", "d": null}, "e": []}"#);
        assert_eq!(
            value.to_pretty(26),
            "{\n  \"a\": [1, 2],\n  \"b\": {\"c\": \"x\", \"d\": null},\n  \"e\": []\n}".replace(
                "{\"c\": \"x\", \"d\": null}",
                "{\n    \"c\": \"x\",\n    \"d\": null\n  }"
            )
        );
        // The comma belongs to the line.
        assert!(value.to_pretty(29).contains("\n  \"b\": {\"c\": \"x\", \"d\": null},\n"));
        assert!(value.to_pretty(28).contains("\n    \"c\": \"x\",\n"));
    }

    #[test]
    fn it_reads_back_whatever_the_width() {
        let value = value(r#"{"n":1e999,"s":"a\"\n\u0001","deep":[[[{"x":[{},[],-0.5]}]]],"":0}"#);
        for width in 0..120 {
            let text = value.to_pretty(width);
            let again = json::parse(&text, 32).expect(&text).to_json();
            assert_eq!(again, value, "{text}");
        }
    }
}
