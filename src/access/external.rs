//! External mode: tokens that somebody else has issued, tiers and permission
//! rules (access.md sections 3, 7 and 8).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Trace;
#[cfg(feature = "jwt")]
use super::jwt::JwtVerifier;
use super::{
    Answer, Grant, LoginLimiter, Opinion, PermissionCheck, Principal, Question, ReadFile,
    TokenValidator, Tokens, Verdict, highest_tier,
};
use crate::config::{self, CustomRoleTier, PermissionDefault};
use crate::json::Json;
use crate::protocol::{ErrorCode, OpError, Tier};

#[derive(Debug)]
struct Rule {
    role: Box<str>,
    grant: Grant,
}

#[derive(Debug)]
struct Permissions {
    default: PermissionDefault,
    rules: Vec<Rule>,
}

/// Sources of sessions and what their roles may do.
pub struct External {
    tokens: Option<Tokens>,
    #[cfg(feature = "jwt")]
    jwt: Option<JwtVerifier>,
    validator: Option<Box<dyn TokenValidator>>,
    check: Option<Box<dyn PermissionCheck>>,
    /// The check is asked about records, too.
    pub looks_at_records: bool,
    permissions: Option<Permissions>,
    custom_role_tier: CustomRoleTier,
    /// Whether a connection must log in before it may do anything else.
    pub required: bool,
    /// The roles of connections without a session, in optional mode.
    pub anonymous_roles: Option<Vec<Box<str>>>,
    /// Failed logins per address.
    pub logins: Option<LoginLimiter>,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External")
            .field("permissions", &self.permissions)
            .field("custom_role_tier", &self.custom_role_tier)
            .field("required", &self.required)
            .field("anonymous_roles", &self.anonymous_roles)
            .finish_non_exhaustive()
    }
}

impl External {
    /// The error has one line per problem, each with the path of the setting in
    /// front.
    pub fn new(settings: &config::External, read: ReadFile<'_>) -> Result<Self, Vec<String>> {
        #[cfg(not(feature = "jwt"))]
        if settings.jwt.is_some() {
            let _ = read;
            return Err(vec!["auth.jwt: this build cannot verify web tokens".into()]);
        }
        let permissions = settings.permissions.as_ref().map(|permissions| Permissions {
            default: permissions.default,
            rules: permissions.rules.iter().map(rule).collect(),
        });
        let boxed = |roles: &Vec<String>| roles.iter().map(|role| role.as_str().into()).collect();
        let mut problems = Vec::new();
        let tokens = settings.tokens.as_deref().map(Tokens::new).transpose();
        let tokens = tokens.unwrap_or_else(|lines| {
            problems.extend(lines);
            None
        });
        #[cfg(feature = "jwt")]
        let jwt = settings.jwt.as_ref().map(|jwt| JwtVerifier::load(jwt, read)).transpose();
        #[cfg(feature = "jwt")]
        let jwt = jwt.unwrap_or_else(|lines| {
            problems.extend(lines);
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            tokens,
            #[cfg(feature = "jwt")]
            jwt,
            validator: None,
            check: None,
            looks_at_records: false,
            permissions,
            custom_role_tier: settings.custom_role_tier,
            required: settings.required,
            anonymous_roles: settings.anonymous_roles.as_ref().map(boxed),
            logins: settings.login_rate_limit.clone().map(LoginLimiter::new),
        })
    }

    pub fn set_validator(&mut self, validator: Box<dyn TokenValidator>) {
        self.validator = Some(validator);
    }

    pub fn set_permission_check(&mut self, check: Box<dyn PermissionCheck>) {
        self.looks_at_records = check.looks_at_records();
        self.check = Some(check);
    }

    /// What roles that nobody has explained are worth.
    pub fn custom_role_tier(&self) -> CustomRoleTier {
        self.custom_role_tier
    }

    /// Reads key files again. On an error the old keys stay.
    pub fn reload(&mut self, read: ReadFile<'_>) -> Result<(), Vec<String>> {
        #[cfg(feature = "jwt")]
        if let Some(jwt) = &mut self.jwt {
            jwt.reload(read)?;
        }
        #[cfg(not(feature = "jwt"))]
        let _ = read;
        Ok(())
    }

    /// Whose token it is: the first source that recognises it decides.
    pub fn validate(&mut self, token: &str, now_wall: u64) -> Answer {
        if let Some(session) = self.tokens.as_ref().and_then(|tokens| tokens.find(token)) {
            return Answer::Now(Verdict::Session(session));
        }
        #[cfg(feature = "jwt")]
        if let Some(jwt) = self.jwt.as_ref().filter(|jwt| jwt.recognises(token)) {
            return Answer::Now(jwt.verify(token, now_wall));
        }
        let Some(validator) = &mut self.validator else { return Answer::Now(Verdict::Invalid) };
        catch_unwind(AssertUnwindSafe(|| validator.validate(token, now_wall))).unwrap_or_else(
            |_| {
                log::error!("the token validator panicked");
                Answer::Now(Verdict::Failed)
            },
        )
    }

    /// Whether somebody with these roles may do that: tier first, then the
    /// embedder's check, then the rules.
    pub fn decide(&mut self, who: Principal<'_>, question: &Question<'_>) -> Result<(), OpError> {
        self.decide_traced(who, question, &mut Trace::off())
    }

    /// The same, writing down how it came about.
    pub fn decide_traced(
        &mut self,
        who: Principal<'_>,
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        let has = highest_tier(who.roles, self.custom_role_tier);
        let enough = question.tier.is_none_or(|tier| has >= Some(tier));
        let is_last = self.check.is_none() && self.permissions.is_none();
        let result = match (enough, is_last) {
            (false, _) => "deny",
            (true, true) => "allow",
            (true, false) => "pass",
        };
        let word = |tier: Option<Tier>| tier.map_or(Json::Null, |tier| tier.as_str().into());
        trace.note("tier", result, || vec![("needs", word(question.tier)), ("has", word(has))]);
        if let Some(tier) = question.tier.filter(|_| !enough) {
            return Err(OpError::new(
                ErrorCode::Forbidden,
                format!(
                    "Role level insufficient for {} (requires {})",
                    question.operation,
                    tier.as_str()
                ),
            ));
        }
        let denied = || {
            let (operation, resource) = (&question.operation, question.resource());
            let text = format!("No permission for {operation} on {resource}");
            Err(OpError::new(ErrorCode::Forbidden, text))
        };
        if let Some(check) = &mut self.check {
            match opinion_of(&mut **check, who, question) {
                Opinion::Allow => {
                    trace.plain("hook", "allow");
                    return Ok(());
                }
                Opinion::Deny => {
                    trace.plain("hook", "deny");
                    return denied();
                }
                Opinion::None => trace.plain("hook", "pass"),
            }
        }
        let Some(permissions) = &self.permissions else {
            if !is_last {
                trace.plain("default", "allow");
            }
            return Ok(());
        };
        let permits = |rule: &&Rule| who.roles.contains(&rule.role) && rule.grant.permits(question);
        if let Some(at) = permissions.rules.iter().position(|rule| permits(&rule)) {
            trace.note("rule", "allow", || {
                let rule = permissions.rules.get(at);
                vec![
                    ("index", Json::Number(at as f64)),
                    ("role", rule.map_or(Json::Null, |rule| Json::from(&*rule.role))),
                    ("pattern", rule.map_or(Json::Null, |rule| rule.grant.pattern_for(question))),
                ]
            });
            return Ok(());
        }
        let allowed = permissions.default == PermissionDefault::Allow;
        trace.plain("default", if allowed { "allow" } else { "deny" });
        if allowed { Ok(()) } else { denied() }
    }
}

fn rule(rule: &config::PermissionRule) -> Rule {
    let boxed = |list: &Vec<String>| list.iter().map(|text| text.as_str().into()).collect();
    Rule {
        role: rule.role.as_str().into(),
        grant: Grant {
            allow: boxed(&rule.allow),
            buckets: rule.buckets.as_ref().map(boxed),
            topics: rule.topics.as_ref().map(boxed),
        },
    }
}
/// What a check says: about the record first, where there is one.
fn opinion_of(
    check: &mut dyn PermissionCheck,
    who: Principal<'_>,
    question: &Question<'_>,
) -> Opinion {
    let (operation, resource) = (&*question.operation, question.resource());
    let about_record = question.record.as_ref().map(|row| {
        check.check_record(who, operation, resource, &serde_json::Value::from(&row.to_json()))
    });
    match about_record {
        Some(opinion @ (Opinion::Allow | Opinion::Deny)) => opinion,
        Some(Opinion::None) | None => check.check(who, operation, resource),
    }
}
