//! How to reach a server and who to be there: the options that all tools have.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use getopts::{HasArg, Matches, Occur};

use super::client::{Answer, Client, Incoming};
use super::target::{FORMS, Target};
use super::{Failure, secrets};
use crate::config::Secret;
use crate::json::{Json, Object};
use crate::net::tls::Trust;

const DEFAULT_URL: &str = "ws://127.0.0.1:8080/";
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// For the help of each tool.
pub(super) const HELP: &str = "\
Connecting:
  --url URL            ws://HOST:PORT/PATH, wss://..., ws+unix:SOCKET:/PATH
                       (NOEXD_URL, else ws://127.0.0.1:8080/)
  --token-file FILE    log in with the token in this file (or NOEXD_TOKEN)
  --user NAME          log in as this user; asks for the password (or
                       NOEXD_PASSWORD)
  --secret-file FILE   log in with the admin secret in this file
  --ca FILE            trust these certificates (SSL_CERT_FILE, else
                       /etc/ssl/certs/ca-certificates.crt)
  --insecure           do not look at the server's certificate
";

/// Flags with a value, and those without.
const VALUES: [&str; 5] = ["url", "token-file", "user", "secret-file", "ca"];
const INSECURE: &str = "insecure";

/// Adds the flags to those of a tool.
pub(super) fn add_flags(parser: &mut getopts::Options) {
    for long in VALUES {
        parser.opt("", long, "", "", HasArg::Yes, Occur::Optional);
    }
    parser.opt("", INSECURE, "", "", HasArg::No, Occur::Optional);
}

/// What a login says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    Token(Secret),
    Password { user: String, password: Secret },
    AdminSecret(Secret),
}

/// Everything that a connection needs; it can be made again with it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub target: Target,
    trust: Trust,
    login: Option<Login>,
}

/// Where trusted certificates are, if nobody names another file.
pub(super) fn roots(
    named: Option<String>,
    environment: impl Fn(&str) -> Option<String>,
) -> PathBuf {
    let file = named.or_else(|| environment("SSL_CERT_FILE"));
    file.map_or_else(|| SYSTEM_ROOTS.into(), PathBuf::from)
}

impl Access {
    /// Reads flags, environment and files; asks for a password.
    pub fn of(
        matches: &Matches,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Access, String> {
        let url = matches.opt_str("url").or_else(|| environment("NOEXD_URL"));
        let url = url.as_deref().unwrap_or(DEFAULT_URL);
        let target = Target::parse(url).ok_or_else(|| format!("--url: expected {FORMS}"))?;
        for flag in ["ca", INSECURE] {
            if matches.opt_present(flag) && !target.tls {
                return Err(format!("--{flag} is for wss://"));
            }
        }
        if matches.opt_present("ca") && matches.opt_present(INSECURE) {
            return Err("--ca and --insecure exclude each other".into());
        }
        let trust = match matches.opt_present(INSECURE) {
            true => Trust::Anybody,
            false => Trust::Roots(roots(matches.opt_str("ca"), &environment)),
        };
        Ok(Access { target, trust, login: login(matches, environment)? })
    }

    /// Connects and logs in. `agent` is what the server calls the client;
    /// `handler` is told of all that comes, on the thread that reads.
    pub fn connect(
        &self,
        agent: &str,
        handler: impl FnMut(Incoming<'_>) + Send + 'static,
    ) -> Result<Client, Failure> {
        let connected = Client::connect(&self.target, &self.trust, agent, handler);
        let mut client = connected.map_err(|error| self.unreachable(&error))?;
        let welcome = client.welcome()?;
        match &self.login {
            Some(login) => {
                if let Answer::Error { code, message } = client.call(login.request())?.outcome() {
                    return Err(Failure::Refused(format!("{code}: {message}")));
                }
            }
            None if welcome.get("requiresAuth").and_then(Json::as_bool) == Some(true) => {
                log::debug!("the server wants a login");
            }
            None => {}
        }
        Ok(client)
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let reason = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
            ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
            _ => error.to_string(),
        };
        Failure::Unreachable(format!("{}: {reason}", self.target))
    }
}

impl Login {
    fn request(&self) -> (&'static str, Object) {
        let mut fields = Object::new();
        let mut add = |name: &str, text: &str| {
            fields.insert(name, Json::from(text));
        };
        let operation = match self {
            Login::Token(token) => {
                add("token", token.expose());
                "auth.login"
            }
            Login::Password { user, password } => {
                add("username", user);
                add("password", password.expose());
                "identity.login"
            }
            Login::AdminSecret(secret) => {
                add("secret", secret.expose());
                "identity.loginWithSecret"
            }
        };
        (operation, fields)
    }
}

fn login(
    matches: &Matches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Login>, String> {
    let file = |flag: &str| {
        let path = matches.opt_str(flag);
        let read = |path: String| {
            secrets::from_file(Path::new(&path)).map_err(|reason| format!("--{flag}: {reason}"))
        };
        path.map(read).transpose()
    };
    let given = ["token-file", "user", "secret-file"];
    let mut given = given.iter().filter(|flag| matches.opt_present(flag));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        return Err(format!("--{first} and --{second} exclude each other"));
    }
    if let Some(user) = matches.opt_str("user") {
        let password = match environment("NOEXD_PASSWORD") {
            Some(password) => Secret::new(password),
            None => secrets::ask(&format!("Password of {user}: "))
                .map_err(|reason| format!("--user: {reason}"))?,
        };
        return Ok(Some(Login::Password { user, password }));
    }
    if let Some(secret) = file("secret-file")? {
        return Ok(Some(Login::AdminSecret(secret)));
    }
    let token = match file("token-file")? {
        None => environment("NOEXD_TOKEN").filter(|token| !token.is_empty()).map(Secret::new),
        token => token,
    };
    Ok(token.map(Login::Token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(args: &[&str], environment: &[(&str, &str)]) -> Result<Access, String> {
        let mut parser = getopts::Options::new();
        add_flags(&mut parser);
        let matches = parser.parse(args).expect("flags");
        Access::of(&matches, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn flags_are_stronger_than_the_environment() {
        let url = |args: &[&str], environment: &[(&str, &str)]| {
            access(args, environment).expect("access").target.to_string()
        };
        assert_eq!(url(&[], &[]), "ws://127.0.0.1:8080/");
        assert_eq!(url(&[], &[("NOEXD_URL", "ws://e:1/")]), "ws://e:1/");
        assert_eq!(url(&["--url", "ws://f:2/"], &[("NOEXD_URL", "ws://e:1/")]), "ws://f:2/");
        let trust = |args: &[&str], environment: &[(&str, &str)]| {
            let args = [&["--url", "wss://h"], args].concat();
            access(&args, environment).expect("access").trust
        };
        assert_eq!(trust(&[], &[]), Trust::Roots(SYSTEM_ROOTS.into()));
        assert_eq!(trust(&[], &[("SSL_CERT_FILE", "e")]), Trust::Roots("e".into()));
        assert_eq!(trust(&["--ca", "f"], &[("SSL_CERT_FILE", "e")]), Trust::Roots("f".into()));
        assert_eq!(trust(&["--insecure"], &[]), Trust::Anybody);
        let login = |args: &[&str], environment: &[(&str, &str)]| {
            access(args, environment).expect("access").login
        };
        assert_eq!(login(&[], &[]), None);
        let token = Some(Login::Token(Secret::new("t")));
        assert_eq!(login(&[], &[("NOEXD_TOKEN", "t")]), token);
        let environment = [("NOEXD_TOKEN", "t"), ("NOEXD_PASSWORD", "p")];
        let password = Login::Password { user: "u".into(), password: Secret::new("p") };
        assert_eq!(login(&["--user", "u"], &environment), Some(password));
    }

    #[test]
    fn what_does_not_go_together() {
        let problem = |args: &[&str]| access(args, &[]).expect_err("a problem");
        assert_eq!(problem(&["--url", "http://h"]), format!("--url: expected {FORMS}"));
        assert_eq!(problem(&["--insecure"]), "--insecure is for wss://");
        assert_eq!(problem(&["--ca", "f"]), "--ca is for wss://");
        assert_eq!(
            problem(&["--url", "wss://h", "--ca", "f", "--insecure"]),
            "--ca and --insecure exclude each other"
        );
        assert_eq!(
            problem(&["--user", "u", "--token-file", "f"]),
            "--token-file and --user exclude each other"
        );
        let missing = problem(&["--secret-file", "/nonexistent"]);
        assert!(missing.starts_with("--secret-file: /nonexistent: "), "{missing}");
    }
}
