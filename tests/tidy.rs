//! What growth must not do to the code: imports inside a room of `src` go one way,
//! in the order that its `mod.rs` tells, and nothing becomes too long to be read.
//!
//! `NOEXD_BLESS=1 cargo test --test tidy` writes the orders anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, and of a function.
const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 70;
/// The same for tests, of which many are tables.
const LONGEST_TESTS: usize = 600;
const LONGEST_TEST: usize = 130;

/// The head of an order, in the documentation of a `mod.rs`.
const HEAD: &str = "//! Files from the ground up; each imports only what stands above its line:";

/// One file: `rules::temporal::spec` is `rules/temporal/spec.rs`.
struct File {
    path: PathBuf,
    text: String,
    is_test: bool,
}

type Files = BTreeMap<String, File>;

fn read(folder: &Path, module: &str, files: &mut Files) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let child = if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
        if path.is_dir() {
            read(&path, &child, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let child = if name == "mod" { module.to_owned() } else { child };
            let is_test = child.split("::").any(|part| part == "tests" || part == "testing");
            files.insert(child, File { path, text, is_test });
        }
    }
}

fn files() -> Files {
    let mut files = Files::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    files.remove("main");
    assert!(files.len() > 300, "the files of src");
    files
}

/// The code without comments and without the tests at its end.
fn code(file: &File) -> String {
    let text = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) => &line[..at],
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of a `use`: `a::{b, c::{d, self}}` are `a::b`, `a::c::d` and `a::c`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let (mut depth, mut start) = (0, 0);
    let mut parts = Vec::new();
    for (at, character) in tree.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[start..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((head, rest)) => {
                let inner = rest.strip_suffix('}').unwrap_or(rest);
                expand(&format!("{prefix}{}", head.trim()), inner, paths);
            }
            None => {
                let name = part.split(" as ").next().unwrap_or(part).trim();
                let path = format!("{prefix}{name}");
                paths.push(path.strip_suffix("::self").unwrap_or(&path).to_owned());
            }
        }
    }
}

/// What a file names: by `use` (with what it is called here), and in passing.
fn named(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in uses(code) {
        expand("", &statement, &mut paths);
    }
    let is_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
    for word in code.split(|character| !is_path(character)) {
        if ["crate::", "super::"].iter().any(|start| word.starts_with(start)) {
            paths.push(word.trim_end_matches(':').to_owned());
        }
    }
    paths
}

/// The trees of all `use` statements.
fn uses(code: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(char::is_whitespace)
            && let Some(end) = code[at..].find(';')
        {
            statements.push(code[at + 4..at + end].replace('\n', " "));
        }
    }
    statements
}

/// A path as seen from the root of the crate, if it begins here.
fn absolute(module: &str, is_mod: bool, path: &str, files: &Files) -> Option<Vec<String>> {
    let here: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
    let mut base: Vec<&str> = match parts.first()? {
        &"crate" => Vec::new(),
        &("super" | "self") => here.clone(),
        first if is_mod && files.contains_key(&[&here[..], &[*first]].concat().join("::")) => {
            return Some(here.iter().chain(&parts).map(ToString::to_string).collect());
        }
        _ => return None,
    };
    for part in &parts {
        match *part {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            part => base.push(part),
        }
    }
    Some(base.into_iter().map(str::to_owned).collect())
}

fn is_mod(file: &File) -> bool {
    file.path.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs")
}

/// The names that a `mod.rs` hands on, and where they come from.
fn handed_on(files: &Files) -> BTreeMap<String, Vec<String>> {
    let mut known = BTreeMap::new();
    for (module, file) in files.iter().filter(|(_, file)| is_mod(file)) {
        for statement in uses(&code(file)) {
            let mut paths = Vec::new();
            expand("", &statement, &mut paths);
            for path in paths {
                let (Some(target), Some(name)) =
                    (absolute(module, true, &path, files), path.rsplit("::").next())
                else {
                    continue;
                };
                known.insert(format!("{module}::{name}"), target);
            }
        }
    }
    known
}

/// The file in which a path ends.
fn file_of(
    path: &[String],
    files: &Files,
    known: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let mut path = path.to_vec();
    // A name is handed on a few times at most.
    for _ in 0..8 {
        let end =
            (1..=path.len()).rev().find(|end| files.contains_key(&path[..*end].join("::")))?;
        let module = path[..end].join("::");
        let next = path.get(end).and_then(|name| known.get(&format!("{module}::{name}")));
        match next {
            Some(target) if *target != path => path.clone_from(target),
            _ => return Some(module),
        }
    }
    None
}

/// Which file of a room imports which others of it. A `mod.rs` and the files below
/// it are one house: what it defines is known to all of them.
fn imports(files: &Files) -> BTreeMap<String, BTreeSet<String>> {
    let known = handed_on(files);
    let mut imports = BTreeMap::new();
    for (module, file) in files.iter().filter(|(module, file)| !file.is_test && *module != "lib") {
        let mut targets = BTreeSet::new();
        for path in named(&code(file)) {
            let target = absolute(module, is_mod(file), &path, files)
                .and_then(|path| file_of(&path, files, &known));
            let Some(target) = target else { continue };
            let below = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
            };
            let is_own = below(&target, module) || below(module, &target) || target == *module;
            let is_test = files.get(&target).is_none_or(|file| file.is_test);
            if !is_own && !is_test && room(&target) == room(module) {
                targets.insert(target);
            }
        }
        imports.insert(module.clone(), targets);
    }
    imports
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Files by floors: those of a floor import only from floors below. `Err`: files
/// that import each other in a circle.
fn floors(
    files: &BTreeMap<&String, &BTreeSet<String>>,
) -> Result<Vec<BTreeSet<String>>, BTreeSet<String>> {
    let mut left: BTreeMap<&String, BTreeSet<&String>> =
        files.iter().map(|(file, targets)| (*file, targets.iter().collect())).collect();
    let mut floors = Vec::new();
    while !left.is_empty() {
        let floor: BTreeSet<String> = left
            .iter()
            .filter(|(_, targets)| targets.iter().all(|target| !left.contains_key(target)))
            .map(|(file, _)| (*file).clone())
            .collect();
        if floor.is_empty() {
            return Err(circle(&left));
        }
        left.retain(|file, _| !floor.contains(*file));
        floors.push(floor);
    }
    Ok(floors)
}

/// What is left when those are taken away that nobody imports.
fn circle(left: &BTreeMap<&String, BTreeSet<&String>>) -> BTreeSet<String> {
    let mut circle: BTreeSet<&String> = left.keys().copied().collect();
    loop {
        let imported: BTreeSet<&String> = left
            .iter()
            .filter(|(file, _)| circle.contains(*file))
            .flat_map(|(_, targets)| targets.iter().copied())
            .collect();
        let before = circle.len();
        circle.retain(|file| imported.contains(*file));
        if circle.len() == before {
            return circle.into_iter().cloned().collect();
        }
    }
}

/// The order of a room as its `mod.rs` tells it.
fn told(room: &str, floors: &[BTreeSet<String>]) -> String {
    let mut lines = vec!["//!".to_owned(), HEAD.to_owned(), "//!".to_owned()];
    for (number, floor) in floors.iter().enumerate() {
        let mut line = format!("//! {}.", number + 1);
        let names: Vec<&str> =
            floor.iter().filter_map(|file| file.strip_prefix(room)?.strip_prefix("::")).collect();
        for (at, name) in names.iter().enumerate() {
            let end = if at + 1 == names.len() { "" } else { "," };
            let name = format!(" `{}`{end}", name.replace("::", "/"));
            if line.len() + name.len() > 96 {
                // Behind the number, as Markdown wants it.
                let indent = " ".repeat(format!("{}. ", number + 1).len() - 1);
                lines.push(std::mem::replace(&mut line, format!("//! {indent}")));
            }
            line.push_str(&name);
        }
        if !names.is_empty() {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// The text of a `mod.rs` with this order at the end of its documentation.
fn with_order(text: &str, order: &str) -> String {
    let head = format!("//!\n{HEAD}\n");
    let kept = match text.find(&head) {
        Some(start) => {
            let rest = &text[start..];
            let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
            format!("{}{}", &text[..start], &rest[end..])
        }
        None => text.to_owned(),
    };
    let end: usize =
        kept.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() + 1).sum();
    format!("{}{order}{}", &kept[..end], &kept[end..])
}

#[test]
fn imports_inside_a_room_go_one_way() {
    let files = files();
    let imports = imports(&files);
    let rooms: BTreeSet<&str> = imports.keys().map(|file| room(file)).collect();
    let mut wrong = Vec::new();
    for name in rooms {
        let inside: BTreeMap<&String, &BTreeSet<String>> =
            imports.iter().filter(|(file, _)| room(file) == name).collect();
        let floors = match floors(&inside) {
            Ok(floors) => floors,
            Err(circle) => {
                let ties = circle.iter().map(|file| {
                    let to: Vec<&String> = imports[file].intersection(&circle).collect();
                    format!("  {file} imports {to:?}")
                });
                wrong.push(format!(
                    "{name}: a circle; give what two of them share a file of its own\n{}",
                    ties.collect::<Vec<_>>().join("\n")
                ));
                continue;
            }
        };
        let Some(file) = files.get(name).filter(|file| is_mod(file) && inside.len() > 2) else {
            continue;
        };
        let wanted = with_order(&file.text, &told(name, &floors));
        if wanted == file.text {
            continue;
        }
        if std::env::var_os("NOEXD_BLESS").is_some() {
            fs::write(&file.path, wanted).unwrap();
        } else {
            wrong.push(format!(
                "{}: the order is another one by now; if that is meant: \
                 NOEXD_BLESS=1 cargo test --test tidy",
                file.path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions and their lines; by rustfmt a body ends in the column of its head.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let head = line.trim_start();
        let indent = line.len() - head.len();
        let words: Vec<&str> = head.split([' ', '(', ')', '<']).collect();
        let Some(name) =
            words.iter().position(|word| *word == "fn").and_then(|at| words.get(at + 1))
        else {
            continue;
        };
        if !words.iter().take_while(|word| **word != "fn").all(|word| {
            ["pub", "const", "super", "crate", "in", ""].contains(word) || word.contains("::")
        }) {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[at..]
            .iter()
            .take_while(|line| {
                **line != end
                    && !(line.ends_with(';') && line.len() - line.trim_start().len() == indent)
            })
            .count();
        found.push((*name, length + 1));
    }
    found
}

#[test]
fn nothing_is_too_long_to_be_read() {
    let mut longer = Vec::new();
    for (module, file) in files() {
        let (most_lines, most) = match file.is_test {
            true => (LONGEST_TESTS, LONGEST_TEST),
            false => (LONGEST_FILE, LONGEST_FUNCTION),
        };
        let lines = file.text.lines().count();
        if lines > most_lines {
            longer.push((module.clone(), lines, most_lines));
        }
        let own = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (name, lines) in functions(own) {
            if lines > most {
                longer.push((format!("{module}::{name}"), lines, most));
            }
        }
    }
    let wrong: Vec<String> = longer
        .iter()
        .filter(|(name, lines, _)| {
            !LONGER.iter().any(|(known, most)| known == name && lines <= most)
        })
        .map(|(name, lines, most)| format!("{name}: {lines} lines (at most {most})"))
        .collect();
    assert!(wrong.is_empty(), "split what has two ideas:\n{}", wrong.join("\n"));
    let past: Vec<&str> = LONGER
        .iter()
        .map(|(known, _)| *known)
        .filter(|known| !longer.iter().any(|(name, ..)| name == known))
        .collect();
    assert!(past.is_empty(), "no longer too long, to be taken off the list: {past:?}");
}

/// What is longer, with its length: a table of a row per operation. Nothing is
/// added here.
const LONGER: [(&str, usize); 1] = [("protocol::fields::fields", 115)];

#[test]
fn circles_and_long_functions_are_found() {
    let file = |path: &str, text: &str| File {
        path: PathBuf::from(path),
        text: text.to_owned(),
        is_test: false,
    };
    let mut files = Files::from([
        ("a".to_owned(), file("a/mod.rs", "mod b;\nmod c;\nmod d;\npub use c::Seen;\n")),
        ("a::b".to_owned(), file("a/b.rs", "use super::Seen;\n")),
        ("a::c".to_owned(), file("a/c.rs", "use crate::a::{d::{self, Deep}};\n")),
        ("a::d".to_owned(), file("a/d.rs", "fn f() { crate::x::g() }\n")),
    ]);
    let told = |files: &Files| {
        let imports = imports(files);
        floors(&imports.iter().collect())
    };
    let floors = told(&files).expect("one way");
    assert_eq!(floors.iter().map(BTreeSet::len).collect::<Vec<_>>(), [2, 1, 1], "{floors:?}");
    files.insert("a::d".to_owned(), file("a/d.rs", "fn f() { super::b::g() }\n"));
    let circle = told(&files).expect_err("b imports c imports d imports b");
    assert_eq!(circle.len(), 3, "{circle:?}");

    let long = format!(
        "impl X {{\n    pub fn long(&self) {{\n{}    }}\n}}\n",
        "        x();\n".repeat(80)
    );
    assert_eq!(functions(&long), [("long", 82)]);
    assert_eq!(functions("fn none();\nfn short() {\n}\n"), [("none", 1), ("short", 2)]);
}
