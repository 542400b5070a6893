//! What is wrong with a definition, and the error that says so.

use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::schema::{MAX_ISSUES, MAX_TEXT, shortened};

/// Characters of the message that joins the texts.
const MAX_MESSAGE: usize = 10_000;

/// Everything that is wrong: the first ones, and how many more.
#[derive(Debug, Default)]
pub(crate) struct Issues {
    listed: Vec<String>,
    more: usize,
}

impl Issues {
    pub fn add(&mut self, text: impl AsRef<str>) {
        if self.listed.len() < MAX_ISSUES {
            self.listed.push(shortened(text.as_ref(), MAX_TEXT).into_owned());
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// # Errors
    /// If there are any: `{kind} validation failed: …`
    pub fn into_result(mut self, kind: &str) -> Result<(), OpError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        let message = format!("{kind} validation failed: {}", self.listed.join("; "));
        let message = shortened(&message, MAX_MESSAGE).into_owned();
        let texts = self.listed.into_iter().map(Json::from).collect();
        let details: Object = [("issues", Json::Array(texts))].into_iter().collect();
        Err(OpError::validation(message).with_details(Json::Object(details)))
    }
}

/// A member that is there and not null.
pub(super) fn present<'o>(object: &'o Object, name: &str) -> Option<&'o Json> {
    object.get(name).filter(|value| !value.is_null())
}

/// A member that must be a non-empty string.
pub(super) fn required_text(object: &Object, name: &str, issues: &mut Issues) -> Box<str> {
    match object.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()) {
        Some(text) => text.into(),
        None => {
            issues.add(format!("Missing or invalid \"{name}\": expected non-empty string"));
            "".into()
        }
    }
}
