//! Authentication, permissions, revocation.

use super::{Kind, Row, UNLIMITED, any_text, int, non_empty};
use crate::config::setting::Setting;
use crate::config::{
    Auth, BuiltIn, Config, CustomRoleTier, External, LoginScope, PermissionDefault, Signup,
};

fn nowhere(_: &mut Config) -> Option<&mut dyn Setting> {
    None
}

fn built_in(config: &mut Config) -> Option<&mut BuiltIn> {
    if let Some(Auth::BuiltIn(auth)) = &mut config.auth { Some(auth) } else { None }
}

fn external(config: &mut Config) -> Option<&mut External> {
    if let Some(Auth::External(auth)) = &mut config.auth { Some(auth) } else { None }
}

fn signup(config: &mut Config) -> Option<&mut Signup> {
    built_in(config)?.signup.as_mut()
}

/// Whoever signs up has no power over others.
fn role_for_everybody(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("expected non-empty string"),
        "admin" | "superadmin" => Err("must not be admin or superadmin"),
        _ => Ok(()),
    }
}

/// Options that only built-in users have. `loginRateLimit` belongs to both.
pub(crate) const BUILT_IN: &[&str] = &[
    "auth.adminSecret",
    "auth.adminSecretFile",
    "auth.sessionTtl",
    "auth.passwordMinLength",
    "auth.maxSessionsPerUser",
    "auth.loginRateLimit.scope",
    "auth.signup",
];

/// Options that only external tokens have.
pub(crate) const EXTERNAL: &[&str] = &[
    "auth.tokens",
    "auth.jwt",
    "auth.required",
    "auth.permissions",
    "auth.anonymousRoles",
    "auth.customRoleTier",
];

pub(super) const ROWS: &[Row] = &[
    Row::new("access", Kind::Section, nowhere, "Which records whom: see also `rows` of bucket definitions."),
    Row::new("access.sets", Kind::Object("object of set definitions"), |c| Some(&mut c.access_sets),
        "Set name to `{\"bucket\", \"filter\", \"field\"}`, as `access.defineSet` takes them: lists of values that belong to a user and follow the data, for the row rules of buckets."),
    Row::new("auth", Kind::Switch, nowhere,
        "Who may connect. Absent or `false`, the server is open to everybody who reaches it. Otherwise either `builtIn` users or external tokens (`tokens`, `jwt`)."),
    Row::new("auth.builtIn", Kind::Boolean, nowhere, "`true`: users, roles and sessions that the server keeps itself.")
        .switch("auth", true, "built-in users (needs an admin secret)"),
    Row::new("auth.adminSecret", Kind::Text(non_empty), |c| Some(&mut built_in(c)?.admin_secret),
        "Secret of the virtual superadmin. With `builtIn`, exactly one of this, `adminSecretFile` and the environment variable is required; the variable and the flags override the file.")
        .flag("", "admin-secret", "S", "admin secret (visible to other users!)")
        .env("NOEXD_ADMIN_SECRET").secret(),
    Row::new("auth.adminSecretFile", Kind::Text(non_empty), |c| Some(&mut built_in(c)?.admin_secret_file),
        "File with the secret; one line break at its end does not count.")
        .flag("", "admin-secret-file", "FILE", "file with the admin secret"),
    Row::new("auth.sessionTtl", int(1, UNLIMITED), |c| Some(&mut built_in(c)?.session_ttl_ms),
        "Life of a session in milliseconds."),
    Row::new("auth.passwordMinLength", int(1, 1024), |c| Some(&mut built_in(c)?.password_min_length),
        "Shortest new password, in characters."),
    Row::new("auth.maxSessionsPerUser", int(1, UNLIMITED), |c| Some(&mut built_in(c)?.max_sessions_per_user),
        "Sessions of one user; a login beyond it ends the oldest."),
    Row::new("auth.tokens", Kind::Object("object of tokens"), |c| Some(&mut external(c)?.tokens),
        "Token to `{\"userId\", \"roles\", \"metadata\", \"expiresAt\"}`. A name of the form `sha256:` and 64 hex digits holds the SHA-256 of the token, so that the file need not contain it. `{}` lets nobody in.")
        .secret(),
    Row::new("auth.jwt", Kind::Object("object"), |c| Some(&mut external(c)?.jwt),
        "JSON Web Tokens. `algorithms` (required): any of `HS256`, `RS256`, `ES256`, `EdDSA`; nothing else is accepted. One key as `secret` (at least 32 bytes), `secretBase64`, `secretFile`, `publicKey` or `publicKeyFile` (PEM), or several as `keys` (`{\"kid\", \"alg\"}` and one of those), or a `jwksFile`. `issuer` and `audience` (string or array) must match if they are given. `clockToleranceMs` (0), `requireExp` (`true`), `userIdClaim` (`sub`), `rolesClaim` (`roles`), `defaultRoles` (`[]`), `metadataClaim`.")
        .secret(),
    Row::new("auth.required", Kind::Boolean, |c| Some(&mut external(c)?.required),
        "`false`: connections may also work without logging in."),
    Row::new("auth.permissions", Kind::OptionalSection, nowhere,
        "Which role may do what, checked after the tier of the role. Absent, the tier alone decides."),
    Row::new("auth.permissions.default", Kind::Choice(PermissionDefault::WORDS),
        |c| Some(&mut external(c)?.permissions.as_mut()?.default),
        "What happens when no rule matches."),
    Row::new("auth.permissions.rules", Kind::Array("array of rules"),
        |c| Some(&mut external(c)?.permissions.as_mut()?.rules),
        "`{\"role\", \"allow\", \"buckets\", \"topics\"}`: allows the role the operations that match `allow` (a pattern or several: `*`, `store.*` or a name), limited to these buckets and topics if they are given."),
    Row::new("auth.anonymousRoles", Kind::Texts(any_text), |c| Some(&mut external(c)?.anonymous_roles),
        "With `required: false`: roles of connections that are not logged in. Absent, they may do everything."),
    Row::new("auth.customRoleTier", Kind::Choice(CustomRoleTier::WORDS), |c| Some(&mut external(c)?.custom_role_tier),
        "Tier of sessions with none of the roles `reader`, `writer` and `admin`."),
    Row::new("auth.loginRateLimit", Kind::OptionalSection, nowhere,
        "Limit on failed logins of one user and one address. Always on with `builtIn`; with external tokens only if it is there."),
    Row::new("auth.loginRateLimit.maxAttempts", int(1, UNLIMITED), |c| match c.auth.as_mut()? {
        Auth::BuiltIn(auth) => Some(&mut auth.login_rate_limit.max_attempts),
        Auth::External(auth) => Some(&mut auth.login_rate_limit.as_mut()?.max_attempts),
    }, "Failed attempts in any window."),
    Row::new("auth.loginRateLimit.windowMs", int(1, UNLIMITED), |c| match c.auth.as_mut()? {
        Auth::BuiltIn(auth) => Some(&mut auth.login_rate_limit.window_ms),
        Auth::External(auth) => Some(&mut auth.login_rate_limit.as_mut()?.window_ms),
    }, "Length of the window."),
    Row::new("auth.loginRateLimit.scope", Kind::Choice(LoginScope::WORDS),
        |c| Some(&mut built_in(c)?.login_scope),
        "What failures are counted by: `separate` a name and an address for themselves, `pair` a name and an address together, and an address with 20 times as many attempts. With `loginRateLimit` configured `separate` unless this key says otherwise."),
    Row::new("auth.signup", Kind::OffOrSection, nowhere,
        "Whether people may make users for themselves (`identity.signup`)."),
    Row::new("auth.signup.roles", Kind::Texts(role_for_everybody), |c| Some(&mut signup(c)?.roles),
        "Roles of such a user, at least one. They must exist when the server starts."),
    Row::new("auth.signup.rateLimit", Kind::Section, nowhere, "Limit on attempts to sign up of one address."),
    Row::new("auth.signup.rateLimit.maxAttempts", int(1, 1_000_000), |c| Some(&mut signup(c)?.rate_limit.max_attempts),
        "Attempts in any window, whatever comes of them."),
    Row::new("auth.signup.rateLimit.windowMs", int(1, 86_400_000), |c| Some(&mut signup(c)?.rate_limit.window_ms),
        "Length of the window."),
    Row::new("auth.signup.requireEmail", Kind::Boolean, |c| Some(&mut signup(c)?.require_email),
        "Whether nobody signs up without an address for mail."),
    Row::new("revocation", Kind::Section, nowhere, "Revoked users."),
    Row::new("revocation.blacklistTtlMs", int(0, 31_536_000_000), |c| Some(&mut c.revocation.blacklist_ttl_ms),
        "How long a revocation is remembered."),
];
