//! What a Rust source file says about itself, and the words that must not land.

/// Words of unfinished work, and the attribute of a test that does not run. In pieces, so that this file does not hold them itself.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimplemented", "!"),
    concat!("todo", "!"),
    concat!("#[", "ignore"),
];

/// True if the file opens with what it is for.
#[must_use]
pub fn opens_with_its_purpose(source: &str) -> bool {
    source.lines().next().is_some_and(|line| {
        line.strip_prefix("//!")
            .is_some_and(|purpose| !purpose.trim().is_empty())
    })
}

/// Line numbers (from 1) and words of unfinished work.
#[must_use]
pub fn unfinished(source: &str) -> Vec<(usize, &'static str)> {
    let in_line = |(number, line): (usize, &str)| {
        let found: Vec<_> = UNFINISHED
            .into_iter()
            .filter(|word| line.contains(word))
            .map(|word| (number + 1, word))
            .collect();
        found
    };
    source.lines().enumerate().flat_map(in_line).collect()
}

/// Line numbers (from 1) and texts of imports that take everything from somewhere (`use super::*`), and so hide where a name comes from.
/// A `prelude` is made for it, and passes.
#[must_use]
pub fn wildcard_imports(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = source.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !begins_import(line) {
            continue;
        }
        let rest = lines[number..].join(" ");
        let import = rest.split(';').next().unwrap_or_default();
        let names_all = import
            .match_indices('*')
            .any(|(at, _)| !import[..at].ends_with("prelude::"));
        if names_all {
            let words: Vec<_> = import.split_whitespace().collect();
            found.push((number + 1, words.join(" ")));
        }
    }
    found
}

/// True of `use …` and `pub use …`, however visible.
fn begins_import(line: &str) -> bool {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or(rest, |(_, rest)| rest),
        Some(rest) => rest,
        None => line,
    };
    line.trim_start().starts_with("use ")
}

#[cfg(test)]
mod tests {
    use super::{UNFINISHED, opens_with_its_purpose, unfinished, wildcard_imports};

    #[test]
    fn a_file_must_say_what_it_is_for_in_its_first_line() {
        assert!(opens_with_its_purpose("//! The unit of commit.\n"));
        assert!(!opens_with_its_purpose("//!\n//! The unit of commit.\n"));
        assert!(!opens_with_its_purpose(
            "use std::fmt;\n//! The unit of commit.\n"
        ));
        assert!(!opens_with_its_purpose(""));
    }

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let source = format!(
            "fn a() {{}}\n// {}: b\nfn c() {{ {}() }}\n",
            UNFINISHED[0], UNFINISHED[3]
        );
        assert_eq!(
            unfinished(&source),
            [(2, UNFINISHED[0]), (3, UNFINISHED[3])]
        );
    }

    #[test]
    fn an_import_of_everything_is_found_unless_it_is_a_prelude() {
        let source = [
            "//! Those who use * find it.",
            "use std::fmt;",
            "pub(crate) use std::fs::*;",
            "use proptest::prelude::*;",
            "mod tests {",
            "    use super::*;",
            "    use crate::{",
            "        a::{B, C},",
            "        d::*,",
            "    };",
            "}",
            "fn double(n: u64) -> u64 { n * 2 }",
        ];
        assert_eq!(
            wildcard_imports(&source.join("\n")),
            [
                (3, "pub(crate) use std::fs::*".to_owned()),
                (6, "use super::*".to_owned()),
                (7, "use crate::{ a::{B, C}, d::*, }".to_owned()),
            ]
        );
    }
}
