//! What may stand where the cursor is.

use super::line::{COMMANDS, operation, short, words};
use super::session::Session;
use crate::json::{Json, Object};
use crate::protocol::{Operation, Resource};

/// What completions are looked up in.
pub(super) trait Known {
    fn buckets(&mut self) -> Vec<String>;
    fn queries(&mut self) -> Vec<String>;
    /// The fields of a bucket's records.
    fn fields(&mut self, bucket: &str) -> Vec<String>;
}

impl Known for Session {
    fn buckets(&mut self) -> Vec<String> {
        let data = self.glance(Operation::StoreBuckets, Object::new()).unwrap_or_default();
        let names = data.get("names").and_then(Json::as_array).unwrap_or_default();
        names.iter().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    fn queries(&mut self) -> Vec<String> {
        let data = self.glance(Operation::StoreListQueries, Object::new()).unwrap_or_default();
        let queries = data.get("queries").and_then(Json::as_array).unwrap_or_default();
        let name = |query: &Json| query.get("name").and_then(Json::as_str).map(str::to_owned);
        queries.iter().filter_map(name).collect()
    }

    fn fields(&mut self, bucket: &str) -> Vec<String> {
        let mut fields = Object::new();
        fields.insert("name", Json::from(bucket));
        let data = self.glance(Operation::StoreGetBucketSchema, fields).unwrap_or_default();
        let schema = data.get("config").and_then(|config| config.get("schema"));
        let schema = schema.and_then(Json::as_object);
        schema.map(|schema| schema.keys().map(str::to_owned).collect()).unwrap_or_default()
    }
}

/// Where the completed piece begins, and what may stand there.
pub(super) fn complete(line: &str, known: &mut dyn Known) -> (usize, Vec<String>) {
    let begin = line.len() - line.trim_start().len();
    let typed = line.get(begin..).unwrap_or_default();
    let Some((verb, rest)) = typed.split_once(char::is_whitespace) else {
        return (begin, starting_with(typed, verbs(typed)));
    };
    let offset = line.len() - rest.len();
    let (before, piece) = last_piece(rest);
    let at = offset + before.len();
    // What stands before it is whole, or the line cannot be understood.
    let Ok(words) = words(before) else { return (line.len(), Vec::new()) };
    let place = words.iter().filter(|word| word.name.is_none()).count();
    let Some(operation) = operation(verb) else {
        let candidates = match (verb, place) {
            ("watch", 0) => quoted(known.queries()),
            (".help", 0) => verbs(piece),
            _ => Vec::new(),
        };
        return (at, starting_with(piece, candidates));
    };
    if piece.starts_with(['{', '[']) {
        let bucket = words.iter().find(|word| word.name.as_deref().is_none_or(|n| n == "bucket"));
        let bucket = bucket.and_then(|word| word.value.as_str());
        return inside_json(piece, at, bucket, known);
    }
    if let Some((name, value)) = piece.split_once('=') {
        let candidates = quoted(values(operation, name, &words_bucket(&words), known));
        return (at + name.len() + 1, starting_with(value, candidates));
    }
    let mut candidates = match operation.fields().get(place) {
        Some(field) => quoted(values(operation, field, &words_bucket(&words), known)),
        None => Vec::new(),
    };
    let is_given = |field: &str| words.iter().any(|word| word.name.as_deref() == Some(field));
    let rest = operation.fields().iter().skip(place).filter(|field| !is_given(field));
    candidates.extend(rest.map(|field| format!("{field}=")));
    (at, starting_with(piece, candidates))
}

fn words_bucket(words: &[super::line::Word]) -> Option<String> {
    let bucket = words.iter().find(|word| word.name.as_deref().is_none_or(|n| n == "bucket"));
    bucket.and_then(|word| word.value.as_str()).map(str::to_owned)
}

/// What a field of an operation may be.
fn values(
    operation: Operation,
    field: &str,
    bucket: &Option<String>,
    known: &mut dyn Known,
) -> Vec<String> {
    let is_new = matches!(operation, Operation::StoreDefineBucket | Operation::StoreDefineQuery);
    match (operation.resource(), field) {
        (Resource::Bucket(name), _) if name == field && !is_new => known.buckets(),
        (Resource::Query(name), _) if name == field && !is_new => known.queries(),
        (_, "bucket") => known.buckets(),
        (_, "query") => known.queries(),
        (_, "operation") => Operation::ALL.iter().map(|one| one.name().to_owned()).collect(),
        (_, "field") => bucket.as_ref().map(|name| known.fields(name)).unwrap_or_default(),
        (_, "mode") => vec!["delta".into(), "full".into()],
        _ => Vec::new(),
    }
}

/// First words: with `store.` where somebody began to type it.
fn verbs(typed: &str) -> Vec<String> {
    let with_store = typed.starts_with("store");
    let name = |operation: &Operation| match with_store {
        true => operation.name().to_owned(),
        false => short(*operation).to_owned(),
    };
    let operations = Operation::ALL.iter().map(name);
    operations.chain(COMMANDS.map(str::to_owned)).collect()
}

fn starting_with(typed: &str, candidates: Vec<String>) -> Vec<String> {
    candidates.into_iter().filter(|candidate| candidate.starts_with(typed)).collect()
}

/// Names as words: in quotes if they would be something else without.
fn quoted(names: Vec<String>) -> Vec<String> {
    let as_word = |name: String| match words(&name) {
        Ok(found) if matches!(&*found, [word] if word.name.is_none() && word.value.as_str() == Some(&name)) => {
            name
        }
        _ => Json::from(name).to_text(),
    };
    names.into_iter().map(as_word).collect()
}

/// Divides at the beginning of the last piece, which may be empty or unfinished.
fn last_piece(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    let (mut in_string, mut is_escaped) = (false, false);
    let mut begin = 0;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => begin = at + c.len_utf8(),
            _ => {}
        }
    }
    text.split_at_checked(begin).unwrap_or((text, ""))
}

/// The name of a field in an object that is being typed.
fn inside_json(
    piece: &str,
    at: usize,
    bucket: Option<&str>,
    known: &mut dyn Known,
) -> (usize, Vec<String>) {
    let mut open = None;
    let mut is_escaped = false;
    for (at, c) in piece.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if open.is_some() => is_escaped = true,
            '"' if open.is_some() => open = None,
            '"' => open = Some(at),
            _ => {}
        }
    }
    let (Some(open), Some(bucket)) = (open, bucket) else {
        return (at + piece.len(), Vec::new());
    };
    let typed = piece.get(open..).unwrap_or_default();
    let before = piece.get(..open).unwrap_or_default().trim_end();
    // Behind a colon stands a value.
    if !before.ends_with(['{', ',']) {
        return (at + piece.len(), Vec::new());
    }
    let names = known.fields(bucket).into_iter().map(|name| Json::from(name).to_text());
    (at + open, starting_with(typed, names.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Known for Two {
        fn buckets(&mut self) -> Vec<String> {
            ["parts", "a b", "7"].map(str::to_owned).to_vec()
        }

        fn queries(&mut self) -> Vec<String> {
            vec!["scarce".into()]
        }

        fn fields(&mut self, bucket: &str) -> Vec<String> {
            match bucket {
                "parts" => ["sku", "shelf", "qty"].map(str::to_owned).to_vec(),
                _ => Vec::new(),
            }
        }
    }

    fn of(line: &str) -> Vec<String> {
        let (at, candidates) = complete(line, &mut Two);
        candidates.into_iter().map(|one| format!("{}{one}", &line[..at])).collect()
    }

    #[test]
    fn first_words() {
        assert_eq!(of("ins"), ["insert", "insertMany"]);
        assert_eq!(of("store.ins"), ["store.insert", "store.insertMany"]);
        assert_eq!(of("  wat"), ["  watch"]);
        assert_eq!(of(".q"), [".quit"]);
        assert_eq!(of(".help getB"), [".help getBucketSchema"]);
        assert!(of("").len() > 100);
    }

    #[test]
    fn buckets_queries_and_fields() {
        assert_eq!(of("get p"), ["get parts"]);
        assert_eq!(
            of("get "),
            ["get parts", "get \"a b\"", "get \"7\"", "get bucket=", "get key="]
        );
        assert_eq!(of("store.get \"a"), ["store.get \"a b\""]);
        assert_eq!(of("dropBucket p"), ["dropBucket parts"]);
        assert_eq!(of("watch s"), ["watch scarce"]);
        assert_eq!(of("query s"), ["query scarce"]);
        assert_eq!(of("sum parts q"), ["sum parts qty"]);
        assert_eq!(of("find bucket=p"), ["find bucket=parts"]);
        assert_eq!(of("find parts {} li"), ["find parts {} limit="]);
        assert_eq!(of("find parts limit=1 li"), Vec::<String>::new());
        assert_eq!(of("defineBucket p"), Vec::<String>::new());
        assert_eq!(
            of("access.explain store.ge"),
            ["access.explain store.get", "access.explain store.getBucketSchema"]
        );
    }

    #[test]
    fn fields_inside_of_objects() {
        assert_eq!(of("where parts {\"s"), ["where parts {\"sku\"", "where parts {\"shelf\""]);
        assert_eq!(of("where parts {\"sku\": 1, \"q"), ["where parts {\"sku\": 1, \"qty\""]);
        assert_eq!(of("where parts {\"sku\": \"s"), Vec::<String>::new());
        assert_eq!(of("where other {\"s"), Vec::<String>::new());
        assert_eq!(of("where parts {s"), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_typed() {
        let pieces = ["get ", "a=", "{", "}", "\"", "\\", "é", " ", "watch ", "parts", "store."];
        let mut seed = 11u64;
        for _ in 0..5_000 {
            let mut line = String::new();
            for _ in 0..6 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                line.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let (at, _) = complete(&line, &mut Two);
            assert!(line.is_char_boundary(at), "{line}");
        }
    }
}
