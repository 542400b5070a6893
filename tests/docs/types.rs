//! The example of docs/tools.md: what `noexd types` makes of its configuration.

use std::path::Path;
use std::process::Command;

fn block<'p>(page: &'p str, language: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0
}

#[test]
fn the_types_of_the_example() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tools.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, page) = page.split_once("\n## types\n").expect("the section");
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs-types.json");
    std::fs::write(&config, block(page, "json")).expect("written");
    for (flag, language) in [("--typescript", "ts"), ("--python", "python")] {
        let output = Command::new(env!("CARGO_BIN_EXE_noexd"))
            .args(["types", flag, "--config"])
            .arg(&config)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains(block(page, language)), "{text}");
    }
}
