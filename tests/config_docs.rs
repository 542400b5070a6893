//! `docs/configuration.md` says what the table of options says.

use noexd::config::docs;

#[test]
fn the_page_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("NOEXD_BLESS").is_some() {
        std::fs::write(path, docs::page()).expect("write the page");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == docs::page(),
        "docs/configuration.md is out of date: NOEXD_BLESS=1 cargo test --test config_docs"
    );
}
