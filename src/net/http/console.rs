//! The web console (console.md section 1): a closed list of files under one
//! path, packed only, with the headers that keep the page to itself.
//!
//! The files are those of `src/web/dist/console`, made by `scripts/web`, and the
//! core of the JavaScript client. Owns what is answered below the path; whether
//! there is a console, and whom the guard lets in, others decide. It must not
//! know the configuration.

use super::client::{CORE_PACKED, accepts_gzip, is_named, tag_of};
use super::{Method, Request};
use crate::json::Json;
use std::fmt::Write;

struct File {
    name: &'static str,
    packed: &'static [u8],
}

macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[File] = &[$(File {
            name: $name,
            packed: include_bytes!(concat!("../../web/dist/console/", $name, ".gz")),
        },)*
        File { name: "noexd.js", packed: CORE_PACKED }];
    };
}

files! {
    "index.html" "console.css" "icon.svg" "main.js" "ops.json"
    "tabs/now.js" "tabs/more.js" "LICENSES.txt" "vendor/preact.js" "vendor/hooks.js" "vendor/htm.js"
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Fields of every answer below the path.
const OTHERS: &str = "Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\nX-Content-Type-Options: nosniff\r\n";

const NEEDS_GZIP: &str = "this page needs gzip (curl --compressed)\n";

/// How the page reaches its server, and what it is to ask first.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where the page lies.
    pub path: &'a str,
    /// Path of the WebSocket.
    pub socket: &'a str,
    /// Path of the HTTP door, if it is open.
    pub rpc: Option<&'a str>,
    pub is_read_only: bool,
    /// `open`, `builtIn` or `external`.
    pub auth: &'static str,
}

/// The files under one path.
#[derive(Debug)]
pub struct ConsoleFiles {
    path: String,
    config: Vec<u8>,
    config_tag: String,
}

/// Body, its tag, and whether it is packed.
struct Found<'a> {
    name: &'a str,
    body: &'a [u8],
    tag: String,
    is_packed: bool,
}

impl ConsoleFiles {
    pub fn new(facts: Facts<'_>) -> Self {
        // Relative to the page, so that a proxy may put a prefix in front.
        let up = |path: &str| "../".repeat(depth(facts.path)) + path.trim_start_matches('/');
        let text = |text: String| Json::from(text.as_str());
        let config = format!(
            "{{\"path\":{},\"rpc\":{},\"readOnly\":{},\"auth\":\"{}\"}}\n",
            text(up(facts.socket)),
            facts.rpc.map_or_else(|| "null".to_owned(), |rpc| text(up(rpc)).to_string()),
            facts.is_read_only,
            facts.auth,
        )
        .into_bytes();
        ConsoleFiles { path: facts.path.to_owned(), config_tag: tag_of(&config), config }
    }

    /// Whether the path, without its query, is one of the console's.
    pub fn is_below(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The bytes of the answer, if there is such a file.
    pub fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let rest = request.path.as_deref()?.strip_prefix(self.path.as_str())?;
        if rest.is_empty() {
            let last = self.path.rsplit('/').next().unwrap_or_default();
            return Some(
                format!("HTTP/1.1 301 Moved Permanently\r\nConnection: close\r\nLocation: {last}/\r\n{OTHERS}Content-Length: 0\r\n\r\n")
                    .into_bytes(),
            );
        }
        let found = self.find(rest.strip_prefix('/')?)?;
        Some(found.answer(request))
    }

    fn find<'a>(&'a self, name: &'a str) -> Option<Found<'a>> {
        if name == "config.json" {
            let (body, tag) = (self.config.as_slice(), self.config_tag.clone());
            return Some(Found { name, body, tag, is_packed: false });
        }
        let name = if name.is_empty() { "index.html" } else { name };
        let file = FILES.iter().find(|file| file.name == name)?;
        Some(Found { name, body: file.packed, tag: tag_of(file.packed), is_packed: true })
    }
}

impl Found<'_> {
    fn answer(&self, request: &Request) -> Vec<u8> {
        let tag = &self.tag;
        let common = format!(
            "Content-Security-Policy: {POLICY}\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n{OTHERS}"
        );
        let suffix = if self.is_packed { "-gz" } else { "" };
        if self.is_packed && !request.accept_encoding.as_deref().is_some_and(accepts_gzip) {
            return with_body(
                request,
                format!(
                    "HTTP/1.1 406 Not Acceptable\r\nConnection: close\r\n{common}Content-Type: text/plain; charset=utf-8\r\n"
                ),
                NEEDS_GZIP.as_bytes(),
            );
        }
        if request.if_none_match.as_deref().is_some_and(|list| is_named(list, tag)) {
            return format!(
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"{tag}{suffix}\"\r\n{common}\r\n"
            )
            .into_bytes();
        }
        let encoding = if self.is_packed { "Content-Encoding: gzip\r\n" } else { "" };
        let kind = content_type(self.name);
        with_body(
            request,
            format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}; charset=utf-8\r\nETag: \"{tag}{suffix}\"\r\n{common}{encoding}"
            ),
            self.body,
        )
    }
}

fn with_body(request: &Request, mut head: String, body: &[u8]) -> Vec<u8> {
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut out = head.into_bytes();
    if request.method != Method::Head {
        out.extend_from_slice(body);
    }
    out
}

/// How many folders a page of this path lies below the root.
fn depth(path: &str) -> usize {
    path.matches('/').count()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        _ => "text/plain",
    }
}

#[cfg(test)]
mod tests;
