//! The manual page and the completions, looked at by those who read them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noexd"));
    command.args(arguments).stdin(Stdio::null()).output().expect("run noexd")
}

fn printed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(arguments);
    assert!(status.success() && stderr.is_empty(), "{arguments:?}");
    String::from_utf8(stdout).expect("text")
}

/// What another program says of a text in a file; `None`: there is none.
fn judged(name: &str, text: &str, command: &[&str]) -> Option<Output> {
    let path: PathBuf = std::env::temp_dir().join(format!("noexd-{name}-{}", std::process::id()));
    std::fs::write(&path, text).expect("a file");
    let (program, arguments) = command.split_first().expect("a program");
    let output = Command::new(program).args(arguments).arg(&path).stdin(Stdio::null()).output();
    std::fs::remove_file(&path).expect("removed");
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{program} is not installed: skipped");
            None
        }
        output => Some(output.expect("it runs")),
    }
}

/// The long flags that `--help` lists.
fn flags() -> Vec<String> {
    let help = printed(&["--help"]);
    let words = help.lines().filter(|line| line.starts_with("  "));
    let flags: Vec<String> = words
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .map(str::to_owned)
        .collect();
    assert!(flags.len() > 20, "{flags:?}");
    flags
}

#[test]
fn the_manual_page_has_every_flag_and_no_warning() {
    let page = printed(&["--man"]);
    for flag in flags() {
        assert!(page.contains(&flag.replace('-', "\\-")), "{flag}");
    }
    for part in [".B dataDir\n", ".B healthcheck\n", ".B NOEXD_ADMIN_SECRET\n", ".B 78\n"] {
        assert!(page.contains(part), "{part}");
    }
    let man = ["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-P", "cat", "-l"];
    if let Some(Output { status, stdout, stderr }) = judged("man", &page, &man) {
        assert!(status.success());
        assert_eq!(String::from_utf8_lossy(&stderr), "");
        assert!(String::from_utf8_lossy(&stdout).contains("noexd"));
    }
}

#[test]
fn completions_are_understood_by_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["--completions", shell]);
        for flag in flags() {
            let (long, name) = (flag.as_str(), flag.trim_start_matches('-'));
            assert!(text.contains(if shell == "fish" { name } else { long }), "{shell}: {flag}");
        }
        assert!(text.contains("healthcheck"), "{shell}");
        if let Some(Output { status, stderr, .. }) = judged(shell, &text, &[shell, "-n"]) {
            assert!(status.success(), "{shell}: {}", String::from_utf8_lossy(&stderr));
        }
    }
    let wrong = output(&["--completions", "tcsh"]);
    assert_eq!(wrong.status.code(), Some(78));
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(errors.starts_with("Error: --completions: expected bash, zsh or fish\n"), "{errors}");
}

#[test]
fn bash_completes_flags_and_commands() {
    let complete = |words: &str, at: usize| {
        let script = format!(
            "{}\nCOMP_WORDS=({words}); COMP_CWORD={at}; _noexd; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            printed(&["--completions", "bash"])
        );
        let output = judged("complete", &script, &["bash"])?;
        assert!(output.status.success());
        Some(String::from_utf8(output.stdout).expect("text"))
    };
    if let Some(found) = complete("noexd --data-d", 1) {
        assert_eq!(found, "--data-dir\n");
    }
    if let Some(found) = complete("noexd shel", 1) {
        assert_eq!(found, if cfg!(feature = "tools") { "shell\n" } else { "\n" });
    }
    if let Some(found) = complete("noexd health", 1) {
        assert_eq!(found, "healthcheck\n");
    }
}
