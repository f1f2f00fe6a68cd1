//! This workspace is as ARCHITECTURE.md draws it, and its files are finished and lead somewhere.

use std::fs::read_to_string;

use tidemill_tests_architecture::drawing::{Rule, table};
use tidemill_tests_architecture::{edges, links, sources, workspace};

/// The rows under a heading of ARCHITECTURE.md; a renamed heading must not make its check pass for want of rows.
fn drawn(heading: &str) -> Vec<Rule> {
    let document = read_to_string(workspace::root().join("ARCHITECTURE.md"))
        .expect("ARCHITECTURE.md lies in the root");
    let rules = table(&document, heading);
    assert!(
        !rules.is_empty(),
        "ARCHITECTURE.md has no table under the heading '{heading}'"
    );
    rules
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// A finding for every file with the extension that `check` has something to say about.
fn in_every_file(
    extension: &str,
    check: impl Fn(&std::path::Path, &str) -> Vec<String>,
) -> Vec<String> {
    let root = workspace::root();
    let files = workspace::files(&root, extension);
    assert!(
        !files.is_empty(),
        "no '.{extension}' file below '{}'",
        root.display()
    );
    let findings = files.iter().flat_map(|path| {
        let text = read_to_string(path).expect("a file of the workspace is text");
        let name = workspace::relative(&root, path);
        check(path, &text)
            .into_iter()
            .map(move |finding| format!("{name}: {finding}"))
    });
    findings.collect()
}

#[test]
fn crates_use_each_other_only_along_the_drawn_edges() {
    assert_none(&edges::undrawn(
        &drawn("Edges"),
        &workspace::crates(&workspace::root()),
    ));
}

#[test]
fn every_drawn_edge_is_used() {
    assert_none(&edges::unused(
        &drawn("Edges"),
        &workspace::crates(&workspace::root()),
    ));
}

#[test]
fn heavy_libraries_stay_in_their_crates() {
    let rules = drawn("Edges");
    let tests = rules
        .iter()
        .flat_map(|rule| &rule.subjects)
        .find(|name| name.pattern == "tests/*")
        .expect("tests may use anything");
    assert_none(&edges::misplaced_libraries(
        &drawn("Heavy libraries"),
        &workspace::crates(&workspace::root()),
        tests,
    ));
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    assert_none(&in_every_file("rs", |_, source| {
        let finding = || "the first line must be '//!' and say what the file is for".to_owned();
        (!sources::opens_with_its_purpose(source))
            .then(finding)
            .into_iter()
            .collect()
    }));
}

#[test]
fn no_source_file_holds_unfinished_work() {
    assert_none(&in_every_file("rs", |_, source| {
        sources::unfinished(source)
            .into_iter()
            .map(|(line, word)| format!("line {line} has '{word}': finish it, or open an issue"))
            .collect()
    }));
}

#[test]
fn every_import_says_what_it_takes() {
    assert_none(&in_every_file("rs", |_, source| {
        let finding = |(line, import): (usize, String)| {
            format!(
                "line {line} has '{import}': name what is used, and take each name from where it is declared: `use super::{{A, B}}` \
                 for the module's own, the path of its crate for what the module imports itself"
            )
        };
        sources::wildcard_imports(source)
            .into_iter()
            .map(finding)
            .collect()
    }));
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_none(&in_every_file("md", |path, text| {
        links::dangling(path, text)
            .into_iter()
            .map(|target| format!("links to '{target}', which doesn't exist"))
            .collect()
    }));
}

#[test]
fn planner_operators_and_engine_name_no_format() {
    let root = workspace::root();
    let product = ["jobs/src/", "operators/src/", "engine/src/"];
    assert_none(&in_every_file("rs", |path, text| {
        let name = workspace::relative(&root, path);
        let names_one =
            product.iter().any(|of| name.starts_with(of)) && text.contains("tidemill_formats");
        let finding = || "uses a format; it knows `tidemill_types::format` alone".to_owned();
        names_one.then(finding).into_iter().collect()
    }));
}
