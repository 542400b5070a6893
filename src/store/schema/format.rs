//! The named formats of strings.

use super::date::is_iso_date;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Email,
    Url,
    IsoDate,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Email, Format::Url, Format::IsoDate];

    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Email => "email",
            Format::Url => "url",
            Format::IsoDate => "iso-date",
        }
    }

    pub fn from_name(name: &str) -> Option<Format> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    pub fn matches(self, text: &str) -> bool {
        match self {
            Format::Email => is_email(text),
            // The URL standard's parser, without a base.
            Format::Url => url::Url::parse(text).is_ok(),
            Format::IsoDate => is_iso_date(text),
        }
    }
}

/// One `@` with something in front, a `.` with something on both sides behind
/// it, and no white space. Nothing more: whether mail arrives only mail tells.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    // The first and the last character cannot be the dot that is asked for.
    let inner_dot =
        domain.char_indices().any(|(at, c)| c == '.' && at > 0 && at + c.len_utf8() < domain.len());
    !local.is_empty()
        && inner_dot
        && !domain.contains('@')
        && !text.contains(crate::json::js::is_white_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["a@b.c", "a.b+c@d.e.f", "é@ü.ö", "a@..b", "a@.b.c", "\"@b.c", "a@b..c"] {
            assert!(is_email(text), "{text}");
        }
        for text in [
            "",
            "a",
            "@b.c",
            "a@b",
            "a@.b",
            "a@b.",
            "a@",
            "a b@c.d",
            "a@b@c.d",
            "a@b.c\u{a0}",
            "a@.",
        ] {
            assert!(!is_email(text), "{text}");
        }
    }

    #[test]
    fn urls() {
        for text in [
            "http://a",
            "x:",
            "data:,",
            "file:///",
            " https://a.b/c?d#e ",
            "mailto:x",
            "http://ü.de/",
            "http:a",
        ] {
            assert!(Format::Url.matches(text), "{text}");
        }
        for text in ["", "/rel", "//host", "http://", "http://a:99999", "a.b", "http://a b/", "1x:"]
        {
            assert!(!Format::Url.matches(text), "{text}");
        }
    }
}
