//! Lengths of what clients choose (limits.md section 2). Only for what comes
//! over the wire: data from before these bounds loads.

use super::OpError;
use crate::json::Raw;

/// Characters of a name.
pub const MAX_NAME: usize = 256;
/// Characters of a topic, of a fact key, or of a pattern for either.
pub const MAX_TOPIC: usize = 1024;
/// Their segments.
pub const MAX_SEGMENTS: usize = 64;
/// Bytes of the parameters of a subscription.
pub const MAX_PARAMS: usize = 65_536;
/// Conditions of a filter that is kept.
pub const MAX_CONDITIONS: usize = 1000;

fn is_longer(text: &str, most: usize) -> bool {
    // Every character is at least one byte.
    text.len() > most && text.chars().count() > most
}

/// Whether a name is too long.
pub fn is_long_name(name: &str) -> bool {
    is_longer(name, MAX_NAME)
}

/// `{Kind} name is too long (maximum 256 characters)`
pub fn check_name(kind: &str, name: &str) -> Result<(), OpError> {
    match is_long_name(name) {
        true => Err(OpError::validation(long_name(kind))),
        false => Ok(()),
    }
}

/// The text for a name that is too long.
pub fn long_name(kind: &str) -> String {
    format!("{kind} name is too long (maximum {MAX_NAME} characters)")
}

/// Whether a topic or a key with this separator, or a pattern for one, is
/// longer than it may be.
pub fn is_long_topic(text: &str, separator: char) -> bool {
    is_longer(text, MAX_TOPIC) || text.matches(separator).count() >= MAX_SEGMENTS
}

/// `Invalid "{field}": at most 1024 characters and 64 segments`
pub fn check_topic(field: &str, text: &str, separator: char) -> Result<(), OpError> {
    match is_long_topic(text, separator) {
        true => Err(OpError::validation(long_topic(field))),
        false => Ok(()),
    }
}

/// The text for a topic, key or pattern that is too long.
pub fn long_topic(field: &str) -> String {
    format!("Invalid \"{field}\": at most {MAX_TOPIC} characters and {MAX_SEGMENTS} segments")
}

/// `Invalid "params": at most 65536 bytes`
pub fn check_params(params: Option<Raw<'_>>) -> Result<(), OpError> {
    match params.is_some_and(|params| params.text().len() > MAX_PARAMS) {
        true => Err(OpError::validation(format!("Invalid \"params\": at most {MAX_PARAMS} bytes"))),
        false => Ok(()),
    }
}

/// `Invalid query: at most 65536 bytes`: one without a name, which is kept as
/// long as somebody is subscribed to it.
pub fn check_query(bytes: usize) -> Result<(), OpError> {
    match bytes > MAX_PARAMS {
        true => Err(OpError::validation(format!("Invalid query: at most {MAX_PARAMS} bytes"))),
        false => Ok(()),
    }
}

/// `Invalid filter: too many conditions (maximum 1000)`
pub fn check_conditions(conditions: usize) -> Result<(), OpError> {
    match conditions > MAX_CONDITIONS {
        true => Err(OpError::validation(format!(
            "Invalid filter: too many conditions (maximum {MAX_CONDITIONS})"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), OpError>) -> String {
        result.expect_err("too long").message.into_owned()
    }

    #[test]
    fn each_at_its_value_and_one_above_it() {
        assert_eq!(check_name("Bucket", &"ü".repeat(256)), Ok(()));
        assert_eq!(
            message(check_name("Bucket", &"ü".repeat(257))),
            "Bucket name is too long (maximum 256 characters)"
        );
        let topic = |length: usize| check_topic("topic", &"ü".repeat(length), '.');
        assert_eq!(topic(1024), Ok(()));
        assert_eq!(
            message(topic(1025)),
            "Invalid \"topic\": at most 1024 characters and 64 segments"
        );
        let segments = |count: usize| check_topic("key", &vec!["a"; count].join(":"), ':');
        assert_eq!(segments(64), Ok(()));
        assert_eq!(
            message(segments(65)),
            "Invalid \"key\": at most 1024 characters and 64 segments"
        );
        let params = |length: usize| {
            let text = format!("\"{}\"", "x".repeat(length - 2));
            check_params(Some(Raw::checked(&text)))
        };
        assert_eq!((params(65_536), check_params(None)), (Ok(()), Ok(())));
        assert_eq!(message(params(65_537)), "Invalid \"params\": at most 65536 bytes");
        assert_eq!(check_query(65_536), Ok(()));
        assert_eq!(message(check_query(65_537)), "Invalid query: at most 65536 bytes");
        assert_eq!(check_conditions(1000), Ok(()));
        assert_eq!(
            message(check_conditions(1001)),
            "Invalid filter: too many conditions (maximum 1000)"
        );
    }
}
