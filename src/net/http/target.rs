//! Request targets: the path that is compared, and what stands behind it.

/// What stands between the first `?` of a request target and its fragment.
pub(super) fn query_of(target: &str) -> &str {
    let target = target.split('#').next().unwrap_or_default();
    target.split_once('?').map_or("", |(_, query)| query)
}

/// The path of a request target as section 1.2 compares it: without query and
/// fragment, without scheme and authority, dot segments resolved (RFC 3986
/// section 5.2.4), percent escapes left alone.
pub fn comparable_path(target: &str) -> Option<String> {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let path = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        if !is_scheme {
            return None;
        }
        rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/")
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    Some(format!("/{}", segments.join("/")))
}
