//! The JavaScript client, served by the server that it is a client of
//! (client-js.md section 3): `{path}.js` is the core, `{path}/NAME` each file.
//!
//! The files are those of `src/web/dist`, made by `scripts/web`. Anybody may
//! import them: they say nothing about this server but its version, so neither
//! `allowedOrigins` nor the guard of an open server is asked.

use super::{Method, Request};
use sha2::{Digest, Sha256};
use std::fmt::Write;

struct File {
    name: &'static str,
    plain: &'static [u8],
    packed: &'static [u8],
}

macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[File] = &[$(File {
            name: $name,
            plain: include_bytes!(concat!("../../web/dist/", $name)),
            packed: include_bytes!(concat!("../../web/dist/", $name, ".gz")),
        }),*];
    };
}

files! {
    "noexd.d.ts" "noexd.js" "hooks.d.ts" "hooks.js" "react.d.ts" "react.js"
    "presence.d.ts" "presence.js" "offline.d.ts" "offline.js" "tanstack.d.ts" "tanstack.js"
}

/// What `{path}.js` stands for.
const CORE: &str = "noexd.js";
/// Its packed form, which the console loads from beside itself.
#[cfg(feature = "console")]
pub(super) const CORE_PACKED: &[u8] = include_bytes!("../../web/dist/noexd.js.gz");

/// A file and what is said of it, made once.
#[derive(Debug)]
struct Page {
    path: String,
    /// Fields that every form has.
    fields: String,
    tag: String,
    plain: &'static [u8],
    packed: &'static [u8],
}

/// The files under one path.
#[derive(Debug)]
pub struct ClientFiles {
    pages: Vec<Page>,
}

impl ClientFiles {
    pub fn new(path: &str) -> Self {
        let named = FILES.iter().map(|file| (format!("{path}/{}", file.name), file));
        let core = FILES.iter().filter(|file| file.name == CORE);
        let all = core.map(|file| (format!("{path}.js"), file)).chain(named);
        ClientFiles { pages: all.map(|(at, file)| Page::new(at, path, file)).collect() }
    }

    /// The bytes of the answer, if there is such a file. The path is compared
    /// without its query.
    pub fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let path = request.path.as_deref()?;
        let page = self.pages.iter().find(|page| page.path == path)?;
        Some(page.answer(request))
    }
}

impl Page {
    fn new(path: String, base: &str, file: &File) -> Self {
        let is_types = file.name.ends_with(".d.ts");
        let content_type = if is_types { "text/plain" } else { "text/javascript" };
        let mut fields = format!(
            "Content-Type: {content_type}; charset=utf-8\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\nAccess-Control-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\nX-Content-Type-Options: nosniff\r\n"
        );
        let types = file.name.strip_suffix(".js").map(|stem| format!("{stem}.d.ts"));
        if let Some(types) = types.filter(|types| FILES.iter().any(|one| one.name == types)) {
            let _ = write!(fields, "X-TypeScript-Types: {base}/{types}\r\n");
        }
        Page { path, fields, tag: tag_of(file.plain), plain: file.plain, packed: file.packed }
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let is_packed = request.accept_encoding.as_deref().is_some_and(accepts_gzip);
        let (body, encoding, suffix) = match is_packed {
            true => (self.packed, "Content-Encoding: gzip\r\n", "-gz"),
            false => (self.plain, "", ""),
        };
        let (fields, tag) = (&self.fields, &self.tag);
        if request.if_none_match.as_deref().is_some_and(|list| is_named(list, tag)) {
            return format!(
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"{tag}{suffix}\"\r\n{fields}\r\n"
            )
            .into_bytes();
        }
        let mut out = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"{tag}{suffix}\"\r\n{fields}{encoding}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if request.method != Method::Head {
            out.extend_from_slice(body);
        }
        out
    }
}

/// The name of a content: the first 16 digits of its digest.
pub(super) fn tag_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a list of `If-None-Match` has the tag. Either form counts: both are
/// of the same text.
pub(super) fn is_named(list: &[u8], wanted: &str) -> bool {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(|tag| {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        let inner = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
        let inner = inner.map(|inner| inner.strip_suffix(b"-gz").unwrap_or(inner));
        tag == b"*" || inner == Some(wanted.as_bytes())
    })
}

/// Whether `gzip`, or everything, is accepted with a weight above 0.
pub(super) fn accepts_gzip(list: &[u8]) -> bool {
    let list = String::from_utf8_lossy(list);
    let weight = |name: &str| {
        list.split(',').find_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            if !parts.next()?.eq_ignore_ascii_case(name) {
                return None;
            }
            let q = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            Some(q.map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0)))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests;
