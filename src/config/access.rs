//! Settings of authentication and permissions.

use std::path::PathBuf;

use super::Jwt;
use super::secret::Secret;
use crate::json::Object;

/// Who decides who a client is.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// Users, roles and sessions that the server keeps itself (`identity.*`).
    BuiltIn(BuiltIn),
    /// Tokens that somebody else has issued (`auth.*`).
    External(External),
}

/// Settings of the built-in users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Secret of the virtual superadmin; not empty.
    pub admin_secret: Secret,
    /// Where the secret came from, if it can be read again.
    pub admin_secret_file: Option<PathBuf>,
    /// How long a login lasts, in milliseconds.
    pub session_ttl_ms: u64,
    /// The fewest characters of a password.
    pub password_min_length: usize,
    /// Logins of one user at once; the oldest gives way.
    pub max_sessions_per_user: usize,
    /// How often one may fail to log in.
    pub login_rate_limit: LoginRateLimit,
    /// Whose failed logins count together.
    pub login_scope: LoginScope,
    /// Whether people may make users for themselves.
    pub signup: Option<Signup>,
}

impl BuiltIn {
    /// The defaults with this secret.
    pub fn new(admin_secret: impl Into<String>) -> Self {
        BuiltIn {
            admin_secret: Secret::new(admin_secret),
            admin_secret_file: None,
            session_ttl_ms: 86_400_000,
            password_min_length: 8,
            max_sessions_per_user: 10,
            login_rate_limit: LoginRateLimit::default(),
            login_scope: LoginScope::default(),
            signup: None,
        }
    }
}

/// Settings of `identity.signup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signup {
    /// Names of the roles that a new user has; none of those with power over
    /// others.
    pub roles: Vec<String>,
    /// Attempts of one address.
    pub rate_limit: LoginRateLimit,
    /// Whether a sign-up without an address is refused.
    pub require_email: bool,
}

impl Default for Signup {
    fn default() -> Self {
        Self {
            roles: vec!["writer".into()],
            rate_limit: LoginRateLimit { max_attempts: 10, window_ms: 3_600_000 },
            require_email: false,
        }
    }
}

/// What failed logins are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginScope {
    /// A name, wherever it is tried from, and an address, whatever is tried.
    Separate,
    /// A name and an address together, and an address with more patience.
    #[default]
    Pair,
}

/// At most `max_attempts` failed logins, or sign-ups, in `window_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRateLimit {
    /// Failures that are allowed.
    pub max_attempts: u32,
    /// In which time, in milliseconds.
    pub window_ms: u64,
}

impl Default for LoginRateLimit {
    fn default() -> Self {
        Self { max_attempts: 5, window_ms: 900_000 }
    }
}

/// Settings of external tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    /// `None` when the file has no `tokens`; an empty list lets nobody in.
    pub tokens: Option<Vec<StaticToken>>,
    /// JSON Web Tokens; needs the feature `jwt`.
    pub jwt: Option<Box<Jwt>>,
    /// Whether a connection must log in before it may do anything else.
    pub required: bool,
    /// Who may do what; `None`: only tiers decide.
    pub permissions: Option<Permissions>,
    /// Roles of connections that are not logged in (with `required: false`).
    pub anonymous_roles: Option<Vec<String>>,
    /// The tier of roles that the server does not know.
    pub custom_role_tier: CustomRoleTier,
    /// How often one may fail to log in; `None`: always again.
    pub login_rate_limit: Option<LoginRateLimit>,
}

impl Default for External {
    fn default() -> Self {
        External {
            tokens: None,
            jwt: None,
            required: true,
            permissions: None,
            anonymous_roles: None,
            custom_role_tier: CustomRoleTier::default(),
            login_rate_limit: None,
        }
    }
}

/// One entry of `auth.tokens`.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticToken {
    /// How the token is recognised.
    pub key: TokenKey,
    /// Whose it is.
    pub user_id: String,
    /// Names of roles.
    pub roles: Vec<String>,
    /// For embedded hooks only.
    pub metadata: Option<Object>,
    /// Unix time in milliseconds.
    pub expires_at: Option<f64>,
}

/// A token, or what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKey {
    /// By its text.
    Plain(Secret),
    /// The SHA-256 of the token, so that the file need not contain it.
    Sha256([u8; 32]),
}

/// The level of sessions that have none of the built-in roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CustomRoleTier {
    /// Every operation that has a tier is denied.
    None,
    /// They may read.
    Read,
    /// They may read and write.
    Write,
    /// They may do everything.
    #[default]
    Admin,
}

/// Declarative permission rules: the first that matches allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// What is decided where no rule fits.
    pub default: PermissionDefault,
    /// The rules; one that allows is enough.
    pub rules: Vec<PermissionRule>,
}

/// What happens when no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PermissionDefault {
    /// What no rule forbids is allowed.
    #[default]
    Allow,
    /// What no rule allows is forbidden.
    Deny,
}

/// Allows `role` the operations of `allow`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionRule {
    /// The role it is about.
    pub role: String,
    /// Patterns of operations, such as `store.*`.
    pub allow: Vec<String>,
    /// Patterns of buckets; `None`: all.
    pub buckets: Option<Vec<String>>,
    /// Patterns of topics; `None`: all.
    pub topics: Option<Vec<String>>,
}

/// The list of revoked users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// How long a revocation is remembered.
    pub blacklist_ttl_ms: u64,
}

impl Default for Revocation {
    fn default() -> Self {
        Self { blacklist_ttl_ms: 3_600_000 }
    }
}
