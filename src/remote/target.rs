//! The URL of a server.

use super::Place;

/// Where a server is, how it is spoken to there, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub place: Place,
    pub tls: bool,
    /// Of the WebSocket, with its query.
    pub path: String,
}

/// What [`Target::parse`] understands.
pub(super) const FORMS: &str = "ws://HOST[:PORT][/PATH], wss://… or ws+unix:SOCKET[:/PATH]";

impl Target {
    pub fn parse(url: &str) -> Option<Target> {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(rest) = url.strip_prefix("ws+unix:") {
            let (socket, path) = match rest.rfind(":/") {
                Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
                None => (rest, "/"),
            };
            let place = Place::Unix(socket.into());
            return (!socket.is_empty() && is_plain(path)).then(|| Target {
                place,
                tls: false,
                path: path.to_owned(),
            });
        }
        let (tls, rest) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return None,
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let place = Place::of_authority(authority, if tls { 443 } else { 80 })?;
        is_plain(&path).then_some(Target { place, tls, path })
    }

    /// What the request for the WebSocket names.
    pub fn http_url(&self) -> String {
        let path = &self.path;
        match &self.place {
            Place::Network { .. } => format!("ws://{}{path}", self.place),
            Place::Unix(_) => format!("ws://localhost{path}"),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.place, self.tls) {
            (Place::Unix(socket), _) => write!(f, "ws+unix:{}:{}", socket.display(), self.path),
            (place, false) => write!(f, "ws://{place}{}", self.path),
            (place, true) => write!(f, "wss://{place}{}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let shown = |url: &str| Target::parse(url).map(|target| target.to_string());
        for (url, is) in [
            ("ws://h", "ws://h:80/"),
            ("ws://h:1/a/b?c=d", "ws://h:1/a/b?c=d"),
            ("ws://h:1?c", "ws://h:1/?c"),
            ("wss://[::1]/ws", "wss://[::1]:443/ws"),
            ("ws+unix:/run/n.sock", "ws+unix:/run/n.sock:/"),
            ("ws+unix:/run/a:b:/ws", "ws+unix:/run/a:b:/ws"),
            ("ws+unix:n", "ws+unix:n:/"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(is), "{url}");
        }
        for wrong in ["", "h:1", "http://h/", "ws://", "ws+unix:", "ws://h:x/", "ws://h/a b"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
