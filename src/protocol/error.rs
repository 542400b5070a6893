//! Error codes and the error every operation fails with.

use std::borrow::Cow;

use crate::json::Json;

macro_rules! error_codes {
    ($($(#[$about:meta])* $variant:ident $name:literal;)*) => {
        /// The codes of the protocol, each explained in docs/protocol.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "`")]
                $(#[$about])*
                $variant
            ),*
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code as it stands in messages.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name),* }
            }
        }
    };
}

error_codes! {
    ParseError "PARSE_ERROR";
    InvalidRequest "INVALID_REQUEST";
    UnknownOperation "UNKNOWN_OPERATION";
    ValidationError "VALIDATION_ERROR";
    NotFound "NOT_FOUND";
    AlreadyExists "ALREADY_EXISTS";
    Conflict "CONFLICT";
    Unauthorized "UNAUTHORIZED";
    Forbidden "FORBIDDEN";
    RateLimited "RATE_LIMITED";
    Backpressure "BACKPRESSURE";
    InternalError "INTERNAL_ERROR";
    BucketNotDefined "BUCKET_NOT_DEFINED";
    QueryNotDefined "QUERY_NOT_DEFINED";
    RulesNotAvailable "RULES_NOT_AVAILABLE";
    SessionRevoked "SESSION_REVOKED";
    LogicNotAvailable "LOGIC_NOT_AVAILABLE";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation failed, as the client will read it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpError {
    /// What to do about it.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// Sent only while `exposeErrorDetails` is true.
    pub details: Option<Box<Json>>,
}

impl OpError {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    /// `VALIDATION_ERROR`: the request or the data is wrong.
    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::ValidationError, message)
    }

    /// `NOT_FOUND`.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The same error with details, for programs.
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
