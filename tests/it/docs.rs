//! What the documents show is checked where a machine can check it.

use std::path::Path;

use plumbline::config::{Environment, parse_with};

use crate::support::repository_file;

fn toml_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("```toml\n") {
        let body = &rest[start + 8..];
        let end = body.find("\n```").expect("a block is closed");
        blocks.push(body[..end].to_owned());
        rest = &body[end..];
    }
    blocks
}

#[test]
fn the_readme_s_config_is_right() {
    let text = std::fs::read_to_string(repository_file("README.md")).unwrap();
    let blocks = toml_blocks(&text);
    assert_eq!(blocks.len(), 1);
    let environment =
        Environment::fixed([("ERP_URL", "postgres://localhost/erp"), ("STORE_URL", "mysql://localhost/store")]);
    let parsed = parse_with(&blocks[0], Path::new("README.md"), Path::new("/"), &environment);
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let flows: Vec<String> = config.flows.iter().map(|flow| flow.id.to_string()).collect();
    assert_eq!(flows, ["stock: erp -> store"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for directory in ["docs", "docs/packs"] {
        let entries = std::fs::read_dir(repository_file(directory)).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.path().is_file());
        documents.extend(files.map(|entry| format!("{directory}/{}", entry.file_name().to_string_lossy())));
    }
    for document in documents {
        let path = repository_file(&document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{document} links to `{link}`, which is not there");
        }
    }
}
