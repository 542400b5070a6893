//! The manual page and the completions of shells, from the tables that make
//! `--help` and `docs/configuration.md`.

use std::fmt::Write as _;

use super::command_line::{COMMANDS, CONFIG_FILE, Described, Shell, described};
use super::table::rows;

/// Variables of `noexd shell`, `noexd top` and `noexd types`.
const TOOLS: [(&str, &str); 6] = [
    ("NOEXD_URL", "where the server is"),
    ("NOEXD_TOKEN", "the token to log in with"),
    ("NOEXD_PASSWORD", "the password of --user"),
    ("SSL_CERT_FILE", "the certificates to trust"),
    ("NO_COLOR", "no colors, if it is not empty"),
    ("XDG_STATE_HOME", "the folder of the history"),
];

/// The manual page, for `man -l` or `/usr/share/man/man1/noexd.1`.
pub fn man() -> String {
    let mut page = format!(
        ".TH NOEXD 1 \"\" \"noexd {}\" \"User Commands\"\n.SH NAME\nnoexd \\- a live data backend\n\
         .SH SYNOPSIS\n.B noexd\n.RI [ OPTIONS ]\n.br\n.B noexd\n.I COMMAND\n.RI [ ARGUMENTS ]\n\
         .SH DESCRIPTION\nServes buckets of records, and queries that push their changes, over \
         WebSocket.\nWithout options it listens on this machine only and keeps data in memory.\n\
         .SH OPTIONS\n",
        env!("CARGO_PKG_VERSION")
    );
    for Described { short, long, value, help } in described() {
        let short = if short.is_empty() { String::new() } else { format!("\\-{short}, ") };
        let value = if value.is_empty() { String::new() } else { format!(" \\fI{value}\\fR") };
        let _ = writeln!(page, ".TP\n\\fB{short}\\-\\-{}\\fR{value}\n{}", roff(long), roff(&help));
    }
    page.push_str(".SH COMMANDS\nEach has \\fB\\-\\-help\\fR.\n");
    for (name, help) in COMMANDS {
        let _ = writeln!(page, ".TP\n.B {}\n{}", roff(name), roff(help));
    }
    page.push_str(".SH CONFIGURATION\nThe keys of the file that \\fB\\-\\-config\\fR names.\n");
    for row in rows().filter(|row| row.missing.is_none()) {
        let _ = writeln!(page, ".TP\n.B {}\n{}", roff(row.path), roff(row.doc));
    }
    page.push_str(".SH ENVIRONMENT\n");
    for row in rows() {
        if let Some(name) = row.env {
            let _ = writeln!(page, ".TP\n.B {}\nOverrides {}.", roff(name), roff(row.path));
        }
    }
    let _ = writeln!(
        page,
        ".TP\n.B {}\nThe file of settings, unless \\fB\\-\\-config\\fR names one.",
        roff(CONFIG_FILE)
    );
    if cfg!(feature = "tools") {
        for (name, what) in TOOLS {
            let _ = writeln!(page, ".TP\n.B {}\nFor the tools: {}.", roff(name), roff(what));
        }
    }
    page.push_str(
        ".TP\n.B RUST_LOG\nWhat is logged: error, warn, info, debug, trace, also per module.\n\
         .SH EXIT STATUS\n.TP\n.B 0\nA clean stop.\n.TP\n.B 65\nDamaged, foreign or newer data.\n\
         .TP\n.B 74\nStorage that cannot be read or written.\n.TP\n.B 75\nThe data is used by \
         another process.\n.TP\n.B 78\nA wrong command line or configuration.\n.TP\n.B 1\n\
         Anything else.\n",
    );
    page
}

/// Text as roff has it: no escapes, no requests.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\n', " ");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// What a shell reads to complete the command line.
pub fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

fn is_path(value: &str) -> bool {
    matches!(value, "FILE" | "DIR")
}

fn bash() -> String {
    let (mut flags, mut paths, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for Described { short, long, value, .. } in described() {
        let mut names = vec![format!("--{long}")];
        names.extend((!short.is_empty()).then(|| format!("-{short}")));
        match value {
            "" => {}
            value if is_path(value) => paths.extend(names.clone()),
            _ => values.extend(names.clone()),
        }
        flags.extend(names);
    }
    let commands: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    format!(
        "# bash completion for noexd\n_noexd() {{\n    \
         local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         COMPREPLY=()\n    case $prev in\n        \
         {})\n            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n        \
         {})\n            return ;;\n    esac\n    \
         if [[ $cur == -* ]]; then\n        \
         mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\")\n    \
         elif (( COMP_CWORD == 1 )); then\n        \
         mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$cur\")\n    \
         else\n        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n    fi\n}}\n\
         complete -o filenames -F _noexd noexd\n",
        paths.join("|"),
        values.join("|"),
        flags.join(" "),
        commands.join(" "),
    )
}

/// Text inside single quotes of a shell.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

fn zsh() -> String {
    // Brackets and colons are the syntax of `_arguments`.
    let plain = |text: &str| {
        quoted(&text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]"))
            .replace(':', "\\:")
    };
    let mut text = String::from("#compdef noexd\n_arguments -s \\\n");
    for Described { short, long, value, help } in described() {
        let action = match value {
            "" => String::new(),
            value if is_path(value) => format!(":{value}:_files"),
            value => format!(":{value}: "),
        };
        let equals = if value.is_empty() { "" } else { "=" };
        let _ = writeln!(text, "  '--{long}{equals}[{}]{action}' \\", plain(&help));
        if !short.is_empty() {
            let _ = writeln!(text, "  '-{short}[{}]{action}' \\", plain(&help));
        }
    }
    text.push_str("  '1:command:((");
    for (name, help) in COMMANDS {
        let _ = write!(text, "{name}\\:\"{}\" ", plain(help));
    }
    text.push_str("))' \\\n  '*:file:_files'\n");
    text
}

fn fish() -> String {
    let mut text = String::from("# fish completion for noexd\n");
    for Described { short, long, value, help } in described() {
        let short = if short.is_empty() { String::new() } else { format!(" -s {short}") };
        let takes = match value {
            "" => "",
            value if is_path(value) => " -r -F",
            _ => " -x",
        };
        let help = help.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = writeln!(text, "complete -c noexd{short} -l {long}{takes} -d '{help}'");
    }
    for (name, help) in COMMANDS {
        let _ =
            writeln!(text, "complete -c noexd -n __fish_use_subcommand -f -a {name} -d '{help}'");
    }
    text
}
