use super::super::HeadReader;
use super::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn ask(head: &str) -> Option<String> {
    let head = format!("{head}\r\n\r\n");
    let (request, _) = HeadReader::default().read(head.as_bytes()).unwrap().unwrap();
    let answer = ClientFiles::new("/client").answer(&request)?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const CORE_HEAD: &str = "GET /client.js?v=3 HTTP/1.1\r\nHost: elsewhere";

#[test]
fn headers_of_section_3() {
    let answer = ask(CORE_HEAD).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let rows = [
        ("Content-Type", "text/javascript; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Vary", "Accept-Encoding"),
        ("Access-Control-Allow-Origin", "*"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-TypeScript-Types", "/client/noexd.d.ts"),
    ];
    for (name, value) in rows {
        assert_eq!(field(&answer, name), Some(value), "{name}");
    }
    assert_eq!(field(&answer, "Content-Encoding"), None);
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(field(&answer, "Content-Length"), Some(body.len().to_string().as_str()));
    assert_eq!(body.as_bytes(), FILES.iter().find(|file| file.name == CORE).unwrap().plain);
    let head = ask(&CORE_HEAD.replace("GET", "HEAD")).unwrap();
    assert_eq!(head, answer.split_inclusive("\r\n\r\n").next().unwrap());
    let types = ask("GET /client/noexd.d.ts HTTP/1.1\r\nHost: x").unwrap();
    assert_eq!(field(&types, "Content-Type"), Some("text/plain; charset=utf-8"));
    assert!(ask("GET /client/nothing.js HTTP/1.1\r\nHost: x").is_none());
    assert!(ask("GET /client HTTP/1.1\r\nHost: x").is_none());
}

#[test]
fn packed_where_it_is_accepted() {
    let rows = [
        ("gzip", true),
        ("br, GZIP;q=0.1", true),
        ("gzip;q=0", false),
        ("*", true),
        ("*;q=0", false),
        ("gzip;q=0, *", false),
        ("br", false),
        ("gzip;q=x", false),
    ];
    for (list, expected) in rows {
        let answer = ask(&format!("{CORE_HEAD}\r\nAccept-Encoding: {list}")).unwrap();
        assert_eq!(field(&answer, "Content-Encoding") == Some("gzip"), expected, "{list}");
        assert_eq!(field(&answer, "ETag").unwrap().ends_with("-gz\""), expected, "{list}");
    }
}

#[test]
fn either_tag_is_not_modified() {
    let tag = field(&ask(CORE_HEAD).unwrap(), "ETag").unwrap().to_owned();
    assert_eq!(tag.len(), 18);
    let packed = tag.replace("\"", "").to_owned() + "-gz";
    for list in [tag.clone(), format!("\"x\", W/{tag}"), format!("\"{packed}\""), "*".into()] {
        let answer = ask(&format!("{CORE_HEAD}\r\nIf-None-Match: {list}")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 304 "), "{list}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{list}");
    }
    let answer = ask(&format!("{CORE_HEAD}\r\nIf-None-Match: \"0123456789abcdef\"")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")
}

fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that each file may take when packed.
const BUDGETS: &[(&str, u64)] = &[
    // The contract says 6144: see docs/contributing.md.
    ("noexd.js", 9_280),
    ("hooks.js", 1024),
    ("react.js", 256),
    ("tanstack.js", 2048),
    ("offline.js", 1536),
    ("presence.js", 1024),
];

#[test]
fn dist_is_what_the_sources_give() {
    let text = std::fs::read_to_string(web().join("dist/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let manifest = manifest.as_object().unwrap();
    let mut sources: Vec<String> = std::fs::read_dir(web().join("client"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".js") || name.ends_with(".d.ts"))
        .collect();
    sources.sort();
    let mut named: Vec<&str> = manifest.keys().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(sources, named, "run scripts/web");
    let mut served: Vec<&str> = FILES.iter().map(|file| file.name).collect();
    served.sort_unstable();
    assert_eq!(served, named, "a file of src/web/client is not served");
    for file in FILES {
        let entry = &manifest[file.name];
        let source = web().join("client").join(file.name);
        assert_eq!(entry["source"], sha256(&source), "{}: run scripts/web", file.name);
        let result = web().join("dist").join(file.name);
        assert_eq!(entry["result"], sha256(&result), "{}: run scripts/web", file.name);
        assert_eq!(entry["gz"], file.packed.len(), "{}: run scripts/web", file.name);
    }
    for (name, most) in BUDGETS {
        let size = manifest[*name]["gz"].as_u64().unwrap();
        assert!(size <= *most, "{name}: {size} bytes packed, {most} allowed");
    }
}

/// The checksum and the length at the end of a gzip file are those of its text.
#[test]
fn packed_files_are_of_their_files() {
    for file in FILES {
        let end = file.packed.len() - 8;
        let trailer: Vec<u32> = file.packed[end..]
            .chunks(4)
            .map(|four| u32::from_le_bytes(four.try_into().unwrap()))
            .collect();
        assert_eq!(trailer, [crc32(file.plain), file.plain.len() as u32], "{}", file.name);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    })
}

#[test]
fn the_client_has_our_version() {
    let core = std::fs::read_to_string(web().join("client/noexd.js")).unwrap();
    let line = format!("export const version = \"{}\";", env!("CARGO_PKG_VERSION"));
    assert!(core.contains(&line), "src/web/client/noexd.js: expected {line}");
    let package = std::fs::read_to_string(web().join("client/package.json")).unwrap();
    let package: Value = serde_json::from_str(&package).unwrap();
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"), "src/web/client/package.json");
}
