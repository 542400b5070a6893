//! What is wrong with something, in a bounded number of words: a rule of the
//! schema that is long and broken by every element must not become gigabytes.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::json::{Json, Object};
use crate::protocol::OpError;

/// Issues that are listed.
pub const MAX_ISSUES: usize = 100;
/// Characters of one text.
pub const MAX_TEXT: usize = 1000;
/// Characters of a pattern in a text.
pub const MAX_PATTERN: usize = 200;
/// Values of a list in a text.
pub const MAX_VALUES: usize = 20;
/// Characters of the message that joins the texts.
pub const MAX_MESSAGE: usize = 10_000;

/// The text, or the beginning of it with `…` for the rest; at most that many
/// characters.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    // Where the last one that fits begins, and whether one more follows it.
    let mut places = text.char_indices().map(|(at, _)| at).skip(most.saturating_sub(1));
    match (places.next(), places.next()) {
        (Some(last), Some(_)) => Cow::Owned(format!("{}…", text.get(..last).unwrap_or_default())),
        _ => Cow::Borrowed(text),
    }
}

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Issue {
    /// Path from the record: `address.lines[2]`.
    field: String,
    message: Cow<'static, str>,
    code: &'static str,
}

/// Everything that is wrong with a record: the first ones, and how many more.
#[derive(Clone, Debug, Default)]
pub struct Issues {
    listed: Vec<Issue>,
    more: usize,
}

impl Issues {
    /// Adds one. Its text is made only if it is listed; returns how long it is.
    pub fn add(
        &mut self,
        field: &str,
        code: &'static str,
        message: impl FnOnce() -> Cow<'static, str>,
    ) -> usize {
        if self.listed.len() >= MAX_ISSUES {
            self.more += 1;
            return 0;
        }
        let message = match message() {
            long if long.len() > MAX_TEXT => Cow::Owned(shortened(&long, MAX_TEXT).into_owned()),
            short => short,
        };
        let field = shortened(field, MAX_TEXT).into_owned();
        let bytes = field.len() + message.len();
        self.listed.push(Issue { field, message, code });
        bytes
    }

    /// # Errors
    /// If there are any.
    pub fn into_result(mut self, bucket: &str) -> Result<(), OpError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            let (field, message) = ("_record".to_owned(), format!("and {} more", self.more).into());
            self.listed.push(Issue { field, message, code: "more" });
        }
        let mut message = format!("Validation failed for bucket \"{bucket}\": ");
        let mut details = Vec::with_capacity(self.listed.len());
        for (at, issue) in self.listed.into_iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(message, "{separator}{}: {}", issue.field, issue.message);
            let detail: Object = [
                ("field", Json::from(issue.field)),
                ("message", Json::from(issue.message.into_owned())),
                ("code", Json::from(issue.code)),
            ]
            .into_iter()
            .collect();
            details.push(Json::Object(detail));
        }
        let message = shortened(&message, MAX_MESSAGE).into_owned();
        Err(OpError::validation(message).with_details(Json::Array(details)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(issues: usize, text: &str) -> OpError {
        let mut all = Issues::default();
        for at in 0..issues {
            all.add(&format!("f{at}"), "code", || text.to_owned().into());
        }
        all.into_result("b").expect_err("issues")
    }

    #[test]
    fn texts_end_at_their_length_and_say_so() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "ab…");
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened(&"x".repeat(1001), MAX_TEXT).chars().count(), 1000);
    }

    #[test]
    fn a_hundred_are_listed_and_the_others_counted() {
        let details = |issues| error(issues, "wrong").details.expect("details").to_text();
        assert_eq!(details(100).matches("wrong").count(), 100);
        assert!(!details(100).contains("more"));
        let text = details(105);
        assert_eq!(text.matches("wrong").count(), 100);
        assert!(
            text.ends_with(r#"{"field":"_record","message":"and 5 more","code":"more"}]"#),
            "{text}"
        );
        assert!(error(105, "wrong").message.ends_with("; _record: and 5 more"));
    }

    #[test]
    fn texts_and_message_have_an_end() {
        let long = error(30, &"y".repeat(5000));
        assert_eq!(long.message.chars().count(), MAX_MESSAGE);
        assert!(long.message.ends_with('…'));
        let details = long.details.expect("details").to_text();
        assert_eq!(details.matches('y').count(), 30 * 999);
        assert_eq!(error(1, &"y".repeat(1000)).message.matches('y').count(), 1000);
    }
}
