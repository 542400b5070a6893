//! What an error is called in HTTP.

use crate::protocol::{ErrorCode, OpError};

/// The status of an answer that is this error.
pub(super) fn status(code: ErrorCode) -> u16 {
    match code.as_str() {
        "VALIDATION_ERROR" | "INVALID_REQUEST" | "PARSE_ERROR" => 400,
        "UNAUTHORIZED" | "SESSION_REVOKED" => 401,
        "FORBIDDEN" => 403,
        "NOT_FOUND" | "UNKNOWN_OPERATION" => 404,
        "ALREADY_EXISTS" | "CONFLICT" => 409,
        "RATE_LIMITED" => 429,
        "BACKPRESSURE" | "UNAVAILABLE" => 503,
        name if name.ends_with("_NOT_DEFINED") => 404,
        name if name.ends_with("_NOT_AVAILABLE") => 501,
        _ => 500,
    }
}

/// The status of a call whose login failed.
pub(super) fn status_of_login(code: ErrorCode) -> u16 {
    match status(code) {
        // The token is as good as before.
        busy @ (429 | 500 | 503) => busy,
        _ => 401,
    }
}

/// When to come again, if the error says so, ms.
pub(super) fn retry_after(error: &OpError) -> Option<u64> {
    let after = error.details.as_ref()?.get("retryAfterMs")?.as_number()?;
    Some(after.max(0.0) as u64)
}

/// The header fields that go with a status.
pub(super) fn fields(status: u16, retry_after: Option<u64>) -> String {
    match (status, retry_after) {
        (401, _) => "WWW-Authenticate: Bearer\r\n".to_owned(),
        (429 | 503, Some(ms)) => format!("Retry-After: {}\r\n", ms.div_ceil(1000)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status() {
        for code in ErrorCode::ALL.iter().copied() {
            let is_ours = code == ErrorCode::InternalError;
            assert_eq!(status(code) == 500, is_ours, "{code}");
        }
        assert_eq!(status(ErrorCode::BucketNotDefined), 404);
        assert_eq!(status(ErrorCode::LogicNotAvailable), 501);
        assert_eq!(status_of_login(ErrorCode::UnknownOperation), 401);
        assert_eq!(status_of_login(ErrorCode::RateLimited), 429);
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(fields(429, Some(1)), "Retry-After: 1\r\n");
        assert_eq!(fields(429, Some(1001)), "Retry-After: 2\r\n");
        assert_eq!(fields(409, Some(1001)), "");
        assert_eq!(fields(401, None), "WWW-Authenticate: Bearer\r\n");
    }
}
