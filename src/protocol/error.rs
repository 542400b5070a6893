//! Error codes and the error every operation fails with.

use std::borrow::Cow;

use crate::json::Json;

/// The seventeen codes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    ParseError,
    InvalidRequest,
    UnknownOperation,
    ValidationError,
    NotFound,
    AlreadyExists,
    Conflict,
    Unauthorized,
    Forbidden,
    RateLimited,
    /// Reserved; never sent.
    Backpressure,
    InternalError,
    BucketNotDefined,
    QueryNotDefined,
    RulesNotAvailable,
    SessionRevoked,
    LogicNotAvailable,
}

impl ErrorCode {
    /// The code as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::ParseError => "PARSE_ERROR",
            ErrorCode::InvalidRequest => "INVALID_REQUEST",
            ErrorCode::UnknownOperation => "UNKNOWN_OPERATION",
            ErrorCode::ValidationError => "VALIDATION_ERROR",
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::AlreadyExists => "ALREADY_EXISTS",
            ErrorCode::Conflict => "CONFLICT",
            ErrorCode::Unauthorized => "UNAUTHORIZED",
            ErrorCode::Forbidden => "FORBIDDEN",
            ErrorCode::RateLimited => "RATE_LIMITED",
            ErrorCode::Backpressure => "BACKPRESSURE",
            ErrorCode::InternalError => "INTERNAL_ERROR",
            ErrorCode::BucketNotDefined => "BUCKET_NOT_DEFINED",
            ErrorCode::QueryNotDefined => "QUERY_NOT_DEFINED",
            ErrorCode::RulesNotAvailable => "RULES_NOT_AVAILABLE",
            ErrorCode::SessionRevoked => "SESSION_REVOKED",
            ErrorCode::LogicNotAvailable => "LOGIC_NOT_AVAILABLE",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation failed, as the client will read it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpError {
    pub code: ErrorCode,
    pub message: Cow<'static, str>,
    /// Sent only while `exposeErrorDetails` is true.
    pub details: Option<Box<Json>>,
}

impl OpError {
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::ValidationError, message)
    }

    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    #[must_use]
    pub fn with_details(mut self, details: Json) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Something unexpected; the cause belongs in the log, not on the wire.
    pub fn internal() -> Self {
        Self::new(ErrorCode::InternalError, "Internal server error")
    }
}

impl std::fmt::Display for OpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for OpError {}
