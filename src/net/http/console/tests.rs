use super::super::HeadReader;
use super::*;
use crate::protocol::{Operation, Tier};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn ask_at(path: &str, head: &str) -> Option<String> {
    let head = format!("{head}\r\n\r\n");
    let (request, _) = HeadReader::default().read(head.as_bytes()).unwrap().unwrap();
    let facts = Facts { path, socket: "/", rpc: None, is_read_only: false, auth: "open" };
    let answer = ConsoleFiles::new(facts).answer(&request)?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn ask(target: &str, more: &str) -> Option<String> {
    ask_at("/console", &format!("GET {target} HTTP/1.1\r\nHost: x{more}"))
}

const GZIP: &str = "\r\nAccept-Encoding: gzip";

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn headers_of_section_1() {
    let answer = ask("/console/?x=1", GZIP).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let rows = [
        ("Content-Type", "text/html; charset=utf-8"),
        (
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        ),
        ("Cache-Control", "no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Encoding", "gzip"),
    ];
    for (name, value) in rows {
        assert_eq!(field(&answer, name), Some(value), "{name}");
    }
    let head = ask_at("/console", &format!("HEAD /console/ HTTP/1.1\r\nHost: x{GZIP}")).unwrap();
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(field(&head, "Content-Length"), field(&answer, "Content-Length"));
}

#[test]
fn every_file_has_its_type_and_nothing_else_is_there() {
    for (name, kind) in [
        ("console.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
        ("main.js", "text/javascript"),
        ("noexd.js", "text/javascript"),
        ("tabs/more.js", "text/javascript"),
        ("ops.json", "application/json"),
        ("LICENSES.txt", "text/plain"),
    ] {
        let answer = ask(&format!("/console/{name}"), GZIP).expect(name);
        assert_eq!(field(&answer, "Content-Type"), Some(&*format!("{kind}; charset=utf-8")));
    }
    for target in
        ["/console/nothing.js", "/console/tabs/", "/console/manifest.json", "/consoles", "/"]
    {
        assert!(ask(target, GZIP).is_none(), "{target}");
    }
}

#[test]
fn without_the_slash_it_leads_to_the_folder() {
    let answer = ask("/console", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert_eq!(field(&answer, "Location"), Some("console/"));
    let deep = ask_at("/a/b", "GET /a/b HTTP/1.1\r\nHost: x").unwrap();
    assert_eq!(field(&deep, "Location"), Some("b/"));
}

#[test]
fn known_contents_are_not_sent_again() {
    let tag = field(&ask("/console/main.js", GZIP).unwrap(), "ETag").unwrap().to_owned();
    assert!(tag.ends_with("-gz\""), "{tag}");
    for known in [tag.as_str(), "*", "\"x\", *"] {
        let answer = ask("/console/main.js", &format!("{GZIP}\r\nIf-None-Match: {known}")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 304 "), "{known}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"));
    }
    let other = ask("/console/main.js", &format!("{GZIP}\r\nIf-None-Match: \"x\"")).unwrap();
    assert!(other.starts_with("HTTP/1.1 200 "));
}

#[test]
fn without_gzip_it_says_so() {
    for more in ["", "\r\nAccept-Encoding: br", "\r\nAccept-Encoding: gzip;q=0"] {
        let answer = ask("/console/", more).unwrap();
        assert!(answer.starts_with("HTTP/1.1 406 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nthis page needs gzip (curl --compressed)\n"), "{answer}");
    }
}

#[test]
fn what_the_page_is_told() {
    let config = |facts: Facts<'_>| -> Value {
        serde_json::from_slice(&ConsoleFiles::new(facts).config).unwrap()
    };
    let facts =
        Facts { path: "/console", socket: "/", rpc: None, is_read_only: false, auth: "open" };
    let expected = json!({"path": "../", "rpc": null, "readOnly": false, "auth": "open"});
    assert_eq!(config(facts), expected);
    let deep = Facts {
        path: "/a/b",
        socket: "/ws",
        rpc: Some("/rpc"),
        is_read_only: true,
        auth: "builtIn",
    };
    let expected =
        json!({"path": "../../ws", "rpc": "../../rpc", "readOnly": true, "auth": "builtIn"});
    assert_eq!(config(deep), expected);
    let answer = ask("/console/config.json", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

// The files

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(web().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))
}

fn names_in(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => names_in(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

/// Our own sources: what `src/web/console` holds.
fn sources() -> Vec<String> {
    let mut names = Vec::new();
    names_in(&web().join("console"), "", &mut names);
    names.sort();
    names
}

fn manifest() -> serde_json::Map<String, Value> {
    let manifest: Value = serde_json::from_str(&read("dist/console/manifest.json")).unwrap();
    manifest.as_object().unwrap().clone()
}

#[test]
fn dist_is_what_the_sources_give() {
    let manifest = manifest();
    let mut served: Vec<&str> =
        FILES.iter().map(|file| file.name).filter(|name| *name != "noexd.js").collect();
    served.sort_unstable();
    let named: Vec<&str> = manifest.keys().map(String::as_str).collect();
    assert_eq!(served, named, "a file is not served, or run scripts/web");
    // A tab has in it the parts that only tabs import.
    let recorded = |source: &str| -> Value {
        let joined = manifest.values().find_map(|file| file["of"].get(source).cloned());
        manifest.get(source).map(|file| file["source"].clone()).or(joined).unwrap_or_default()
    };
    for source in sources() {
        let now = sha256(&read(&format!("console/{source}")));
        assert_eq!(recorded(&source), now, "{source}: run scripts/web");
    }
    for file in FILES.iter().filter(|file| file.name != "noexd.js") {
        assert_eq!(manifest[file.name]["gz"], file.packed.len(), "{}: run scripts/web", file.name);
    }
}

/// What it is of, how many bytes it may have, and the files that it holds.
type Budget<'f> = (&'static str, usize, &'f dyn Fn(&str) -> bool);

#[test]
fn it_stays_small() {
    let size = |wanted: &dyn Fn(&str) -> bool| -> usize {
        FILES.iter().filter(|file| wanted(file.name)).map(|file| file.packed.len()).sum()
    };
    let rows: [Budget<'_>; 5] = [
        ("libraries", 7_300, &|name| name.starts_with("vendor/")),
        ("shell and ui", 12 << 10, &|name| name == "main.js"),
        ("tabs", 36 << 10, &|name| name.starts_with("tabs/")),
        ("style", 6 << 10, &|name| name == "console.css"),
        ("ops.json", 4 << 10, &|name| name == "ops.json"),
    ];
    for (what, most, wanted) in rows {
        let size = size(wanted);
        assert!(size > 0 && size <= most, "{what}: {size} bytes packed, {most} allowed");
    }
    // The licences are read by who asks for them; the client has a budget of its own.
    let all = size(&|name| name != "LICENSES.txt");
    assert!(all <= 70 << 10, "all: {all} bytes packed");
}

#[test]
fn nothing_of_ours_puts_markup_or_code_together() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "dangerouslySet",
        "eval(",
        "Function(",
        "javascript:",
        "style=\"",
        "http://",
        "https://",
    ];
    for name in sources() {
        let text = read(&format!("console/{name}"));
        // The namespace of an image is an address that nobody loads.
        let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for word in forbidden {
            assert!(!text.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn libraries_are_what_was_published() {
    let record: Value = serde_json::from_str(&read("vendor/vendor.json")).unwrap();
    let licences = read("vendor/LICENSES.txt");
    let mut known = vec!["LICENSES.txt".to_owned(), "vendor.json".to_owned()];
    for (name, library) in record.as_object().unwrap() {
        let version = library["version"].as_str().unwrap();
        let licence = library["licence"].as_str().unwrap();
        assert!(licences.contains(&format!("=== {name} {version} ({licence})\n")), "{name}");
        assert!(library["integrity"].as_str().unwrap().starts_with("sha512-"));
        for (file, facts) in library["files"].as_object().unwrap() {
            let mut text = read(&format!("vendor/{file}"));
            assert_eq!(facts["committed"], sha256(&text), "{file}");
            for replaced in facts["replacements"].as_array().unwrap().iter().rev() {
                let (old, now) = (replaced[0].as_str().unwrap(), replaced[1].as_str().unwrap());
                text = if old.starts_with('\n') {
                    // A line at the end.
                    text.strip_suffix(now).unwrap().to_owned() + old
                } else {
                    assert_eq!(text.matches(now).count(), 1, "{file}: {now}");
                    text.replace(now, old)
                };
            }
            assert_eq!(facts["published"], sha256(&text), "{file}");
            known.push(file.clone());
        }
    }
    let mut there = Vec::new();
    names_in(&web().join("vendor"), "", &mut there);
    there.sort();
    known.sort();
    assert_eq!(there, known);
}

/// Operations beyond tier read that leave everything as it was, for others.
const LOOKS: &[&str] = &[
    "access.explain",
    "access.listSets",
    "audit.query",
    "auth.login",
    "auth.logout",
    "auth.whoami",
    "identity.getAcl",
    "identity.getOwner",
    "identity.getUser",
    "identity.getUserRoles",
    "identity.listRoles",
    "identity.listUsers",
    "identity.login",
    "identity.loginWithSecret",
    "identity.logout",
    "identity.myAccess",
    "identity.refreshSession",
    "identity.whoami",
    "logic.explainView",
    "logic.listComputed",
    "logic.listConstraints",
    "logic.listViews",
    "procedures.list",
    "rules.getRule",
    "rules.getRules",
    "rules.validateRule",
    "server.connections",
    "server.insights",
    "server.metrics",
    "server.stats",
    "server.top",
    "server.trace",
    "server.untrace",
    "server.views",
    "session.close",
    "session.open",
    "session.sync",
    "store.backups",
    "store.getBucketSchema",
    "store.listQueries",
];

/// The fields of a request, in order, as the reference names them.
fn fields_of(operation: &str, reference: &str) -> Vec<String> {
    let start =
        reference.find(&format!("\n### {operation}\n")).unwrap_or_else(|| panic!("{operation}"));
    let request = reference[start..].split("- **Request**: ").nth(1).unwrap();
    let line = request.lines().next().unwrap();
    let mut fields: Vec<String> = Vec::new();
    for part in line.split(';') {
        let part = part.split(':').next().unwrap_or_default();
        for name in part.split('`').skip(1).step_by(2) {
            let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if is_name && !fields.iter().any(|known| known == name) {
                fields.push(name.to_owned());
            }
        }
    }
    fields
}

/// `ops.json` is written from the table of operations and the reference; with
/// `NOEXD_BLESS=1` this test writes it.
#[test]
fn ops_json_is_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = ["store", "server", "rules", "procedures", "logic", "identity", "sessions"];
    let reference: String = pages
        .iter()
        .map(|page| std::fs::read_to_string(folder.join(format!("{page}.md"))).unwrap())
        .collect();
    let lines: Vec<String> = Operation::ALL
        .iter()
        .map(|operation| {
            let name = operation.name();
            let tier = operation.tier().map_or("none", Tier::as_str);
            let changes = operation.tier() != Some(Tier::Read) && !LOOKS.contains(&name);
            let fields = fields_of(name, &reference).join(" ");
            format!("{}:{}", json!(name), json!([tier, u8::from(changes), fields]))
        })
        .collect();
    let expected = format!("{{\n{}\n}}\n", lines.join(",\n"));
    let path = web().join("console/ops.json");
    if std::env::var_os("NOEXD_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, expected, "NOEXD_BLESS=1 cargo test ops_json, then scripts/web");
}
