//! Every operation, every error code and every close code has its place in the
//! documentation.

use std::fs;

use noexd::protocol::{ErrorCode, Operation, Resource};

fn page(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All pages of the reference, one behind the other.
fn reference() -> String {
    let folder = format!("{}/docs/reference", env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> = fs::read_dir(folder)
        .expect("docs/reference")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    pages.sort();
    pages.iter().map(|name| page(&format!("reference/{name}"))).collect()
}

/// What the reference says of who may call an operation.
fn tier_line(operation: Operation) -> String {
    let tier = operation.tier().map_or("none", |tier| tier.as_str());
    let resource = match operation.resource() {
        Resource::None => String::new(),
        Resource::Bucket(field) => format!("; bucket in `{field}`"),
        Resource::Query(field) => format!("; query in `{field}`"),
        Resource::Topic(field) => format!("; topic in `{field}`"),
        Resource::Procedure(field) => format!("; procedure in `{field}`"),
        Resource::OwnSubscription => "; one's own subscription".to_owned(),
        Resource::OwnSession => "; one's own session".to_owned(),
        Resource::EachOperation => "; decided bucket by bucket".to_owned(),
        Resource::EachEntry => "; each entry, as its own operation".to_owned(),
    };
    format!("Tier {tier}{resource}.")
}

#[test]
fn every_operation_has_its_section() {
    let reference = reference();
    let mut missing = Vec::new();
    for operation in Operation::ALL.iter().copied() {
        let name = operation.name();
        let Some((_, section)) = reference.split_once(&format!("\n### {name}\n")) else {
            missing.push(name);
            continue;
        };
        let section = section.split("\n### ").next().unwrap_or_default();
        let tier = tier_line(operation);
        assert!(section.contains(&format!("\n{tier}\n")), "{name}: expected \"{tier}\"");
        for part in ["- **Request**: ", "- **Answer**: "] {
            assert!(section.contains(part), "{name} has no {part}");
        }
        let example = format!("\"type\":\"{name}\"");
        assert!(
            section.contains(&example) || section.contains("](../"),
            "{name} has no example and leads to no page that has one"
        );
    }
    assert!(missing.is_empty(), "not in docs/reference: {missing:?}");
    // And nothing that does not exist.
    for heading in reference.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(Operation::from_name(heading).is_some(), "{heading} is no operation");
    }
}

#[test]
fn every_error_code_is_explained() {
    let page = page("protocol.md");
    for code in ErrorCode::ALL {
        assert!(page.contains(&format!("| `{code}` |")), "{code} is not in docs/protocol.md");
    }
}

#[test]
fn links_lead_somewhere() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut folders =
        vec![root.to_owned(), format!("{root}/docs"), format!("{root}/docs/reference")];
    let mut checked = 0;
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder");
        for entry in entries.map(|entry| entry.expect("an entry").path()) {
            if entry.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = fs::read_to_string(&entry).expect("a page");
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or_default();
                if target.is_empty()
                    || target.contains("://")
                    || target.contains(char::is_whitespace)
                {
                    continue;
                }
                checked += 1;
                let path = entry.parent().expect("a folder").join(target);
                assert!(path.exists(), "{}: {link} leads nowhere", entry.display());
            }
        }
    }
    assert!(checked > 20, "the links were not found");
}
