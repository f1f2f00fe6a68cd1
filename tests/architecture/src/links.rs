//! Relative links of Markdown documents that lead nowhere.

use std::path::Path;

/// The targets of a document's links that point into the repository, without their anchors. Code is not searched for links.
#[must_use]
pub fn relative_targets(markdown: &str) -> Vec<String> {
    prose(markdown)
        .iter()
        .flat_map(|line| inline_targets(line).chain(definition_target(line)))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
        .map(str::to_owned)
        .collect()
}

/// The targets of the document at `path` that do not exist.
#[must_use]
pub fn dangling(path: &Path, markdown: &str) -> Vec<String> {
    let folder = path.parent().unwrap_or(path);
    relative_targets(markdown)
        .into_iter()
        .filter(|target| !folder.join(target).exists())
        .collect()
}

/// The lines outside fenced code, with what is in backticks left out.
fn prose(markdown: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("code"));
        }
    }
    lines
}

/// `[text](target)` and `[text](target "title")`.
fn inline_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// `[name]: target`.
fn definition_target(line: &str) -> Option<&str> {
    let (_, target) = line.trim_start().strip_prefix('[')?.split_once("]: ")?;
    target.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{dangling, relative_targets};

    #[test]
    fn links_into_the_repository_are_found_and_others_are_not() {
        let markdown = "See [a](docs/a.md), [`b`](../b.md#part \"title\"), [web](https://example.org), [here](#part).\n\n[c]: c.md\n[w]: http://example.org";
        assert_eq!(relative_targets(markdown), ["docs/a.md", "../b.md", "c.md"]);
    }

    #[test]
    fn code_is_not_searched() {
        assert!(relative_targets("`[a](a.md)`\n```\n[b](b.md)\n```\n").is_empty());
    }

    #[test]
    fn a_link_is_relative_to_its_document() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/links.rs");
        assert_eq!(
            dangling(
                &here,
                "[there](lib.rs) [up](../Cargo.toml) [not there](nowhere.md)"
            ),
            ["nowhere.md"]
        );
    }
}
