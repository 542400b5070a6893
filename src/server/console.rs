//! Whether there is a web console and where (console.md section 1). Owns the
//! decision of `auto` and the line that says it.

use super::hosted::Hosted;
use crate::config::{Auth, Config, Console, ConsoleWhen};
use crate::net::{
    Transport,
    http::console::{ConsoleFiles, Facts},
};

/// The console that is to be served, or why there is none; `Err("")` where
/// nobody needs to be told.
fn decide(config: &Config, is_local: bool) -> Result<&Console, &'static str> {
    let console = config.console.as_ref().ok_or("")?;
    if console.when == ConsoleWhen::Always {
        return Ok(console);
    }
    if config.auth.is_some() {
        return Err("auth is configured");
    }
    if !is_local {
        return Err("other machines can connect");
    }
    if config.uses_path(&console.path) {
        return Err("something else has its path");
    }
    Ok(console)
}

/// What the page is to ask for first.
fn login(config: &Config) -> &'static str {
    match &config.auth {
        None => "open",
        Some(Auth::BuiltIn(_)) => "builtIn",
        Some(Auth::External(_)) => "external",
    }
}

/// Serves it, and says so. `url` is the one of the WebSocket.
pub(super) fn open(transport: &mut Transport<Hosted>, config: &Config, url: &str, is_local: bool) {
    let console = match decide(config, is_local) {
        Ok(console) => console,
        Err("") => return,
        Err(why) => {
            log::info!("console: off because {why} (--console switches it on)");
            return;
        }
    };
    transport.serve_console(ConsoleFiles::new(Facts {
        path: &console.path,
        socket: &config.path,
        rpc: config.http.as_ref().map(|http| &*http.rpc),
        is_read_only: console.read_only,
        auth: login(config),
    }));
    match url.strip_prefix("ws").and_then(|rest| rest.strip_suffix(config.path.as_str())) {
        Some(rest) => log::info!("console: http{rest}{}/", console.path),
        // A Unix socket: whoever is in front of it knows its address.
        None => log::info!("console: on {url}, path {}/", console.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, is_local: bool) -> Result<String, &'static str> {
        let mut options = crate::config::Options::new();
        options.read_file(text).unwrap();
        let config = options.resolve().unwrap().config;
        decide(&config, is_local).map(|console| format!("{} {}", console.path, login(&config)))
    }

    const BUILT_IN: &str = r#""auth":{"builtIn":true,"adminSecret":"0123456789abcdef"}"#;

    #[test]
    fn auto_is_for_open_servers_of_this_machine() {
        let found = Ok("/console open".to_owned());
        assert_eq!(asked("{}", true), found);
        assert_eq!(asked(r#"{"console":"auto"}"#, true), found);
        assert_eq!(asked("{}", false), Err("other machines can connect"));
        assert_eq!(asked(&format!("{{{BUILT_IN}}}"), true), Err("auth is configured"));
        assert_eq!(asked(r#"{"path":"/console"}"#, true), Err("something else has its path"));
    }

    #[test]
    fn what_is_said_outright_is_done() {
        assert_eq!(asked(r#"{"console":false}"#, true), Err(""));
        assert_eq!(
            asked(&format!(r#"{{"console":true,{BUILT_IN}}}"#), false),
            Ok("/console builtIn".to_owned())
        );
        assert_eq!(
            asked(r#"{"console":{"path":"/ui"},"auth":{"tokens":{}}}"#, false),
            Ok("/ui external".to_owned())
        );
    }
}
