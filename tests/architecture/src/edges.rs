//! Crates against the drawing: an edge that is not drawn, a drawn one that nobody uses, a library where it must not be.

use crate::drawing::{Name, Rule};
use crate::workspace::Crate;

/// Edges between crates of the workspace that no row draws, and crates that no row mentions.
#[must_use]
pub fn undrawn(rules: &[Rule], crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for user in crates {
        let Some(rule) = rule_of(rules, &user.folder) else {
            findings.push(format!(
                "crate '{}' is not in the table; add a row that says whom it may use",
                user.folder
            ));
            continue;
        };
        for used in &user.uses {
            if !rule.objects.iter().any(|name| name.matches(used)) {
                findings.push(format!(
                    "'{}' uses '{used}', an edge that the table doesn't draw",
                    user.folder
                ));
            }
        }
    }
    findings
}

/// Rows and edges that are drawn but not there, unless marked with `?`.
#[must_use]
pub fn unused(rules: &[Rule], crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for rule in rules {
        for subject in rule.subjects.iter().filter(|subject| !subject.optional) {
            if !crates.iter().any(|user| subject.matches(&user.folder)) {
                findings.push(format!(
                    "the table has a row for '{}', but no such crate exists",
                    subject.pattern
                ));
            }
        }
    }
    for user in crates {
        for name in rule_of(rules, &user.folder)
            .into_iter()
            .flat_map(|rule| &rule.objects)
        {
            if !name.optional && !user.uses.iter().any(|used| name.matches(used)) {
                let (folder, drawn) = (&user.folder, &name.pattern);
                findings.push(format!("the table draws '{folder}' → '{drawn}', but '{folder}' doesn't use it; erase it or mark it `{drawn}?`"));
            }
        }
    }
    findings
}

/// Libraries named by crates that no row allows it; the crates that `exempt` matches may name any.
#[must_use]
pub fn misplaced_libraries(rules: &[Rule], crates: &[Crate], exempt: &Name) -> Vec<String> {
    let mut findings = Vec::new();
    for user in crates.iter().filter(|user| !exempt.matches(&user.folder)) {
        for library in &user.libraries {
            let Some(rule) = rule_of(rules, library) else {
                continue;
            };
            if !rule.objects.iter().any(|name| name.matches(&user.folder)) {
                let allowed: Vec<_> = rule
                    .objects
                    .iter()
                    .map(|name| name.pattern.as_str())
                    .collect();
                findings.push(format!(
                    "'{}' names the library '{library}'; only '{}' may",
                    user.folder,
                    allowed.join("' and '")
                ));
            }
        }
    }
    findings
}

/// The row for a name: one that says it exactly comes before one that ends in `*`.
fn rule_of<'a>(rules: &'a [Rule], name: &str) -> Option<&'a Rule> {
    let matching = |open: bool| {
        rules.iter().find(move |rule| {
            rule.subjects
                .iter()
                .any(|subject| subject.is_open() == open && subject.matches(name))
        })
    };
    matching(false).or_else(|| matching(true))
}

#[cfg(test)]
mod tests {
    use super::{misplaced_libraries, undrawn, unused};
    use crate::drawing::table;
    use crate::workspace::Crate;

    const DRAWING: &str = "
# Edges
| `types` | nothing |
| `state`, `formats` | `types` |
| `connectors/api` | `types` |
| `connectors/*` | `connectors/api`, `formats?` |
| `tests/*` | anything |
# Libraries
| `rocksdb` | `state` |
| `datafusion-*` | `jobs` and `engine` |
";

    fn crates(lines: &[(&str, &[&str], &[&str])]) -> Vec<Crate> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        lines
            .iter()
            .map(|&(folder, uses, libraries)| Crate {
                folder: folder.to_owned(),
                uses: owned(uses),
                libraries: owned(libraries),
            })
            .collect()
    }

    fn as_drawn() -> Vec<Crate> {
        crates(&[
            ("types", &[], &["serde"]),
            ("state", &["types"], &["rocksdb"]),
            ("formats", &["types"], &[]),
            ("connectors/api", &["types"], &[]),
            ("connectors/files", &["connectors/api"], &[]),
            ("tests/e2e", &["state", "connectors/files"], &["rocksdb"]),
        ])
    }

    #[test]
    fn a_workspace_as_drawn_has_no_findings() {
        let rules = table(DRAWING, "Edges");
        assert_eq!(undrawn(&rules, &as_drawn()), Vec::<String>::new());
        assert_eq!(unused(&rules, &as_drawn()), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_is_not_drawn_is_found() {
        let mut crates = as_drawn();
        crates[1].uses.push("formats".to_owned());
        assert_eq!(
            undrawn(&table(DRAWING, "Edges"), &crates),
            ["'state' uses 'formats', an edge that the table doesn't draw"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let findings = undrawn(&table(DRAWING, "Edges"), &crates(&[("control", &[], &[])]));
        assert_eq!(
            findings,
            ["crate 'control' is not in the table; add a row that says whom it may use"]
        );
    }

    #[test]
    fn an_exact_row_comes_before_an_open_one() {
        let crates = crates(&[("connectors/api", &["formats"], &[])]);
        assert_eq!(
            undrawn(&table(DRAWING, "Edges"), &crates).len(),
            1,
            "the row of 'connectors/*' allows it, that of 'connectors/api' does not"
        );
    }

    #[test]
    fn a_drawn_edge_that_nobody_uses_is_found_unless_optional() {
        let mut crates = as_drawn();
        crates[2].uses.clear();
        crates.remove(5);
        assert_eq!(
            unused(&table(DRAWING, "Edges"), &crates),
            [
                "the table has a row for 'tests/*', but no such crate exists",
                "the table draws 'formats' → 'types', but 'formats' doesn't use it; erase it or mark it `types?`",
            ]
        );
    }

    #[test]
    fn a_library_outside_its_crate_is_found_except_in_tests() {
        let crates = crates(&[
            ("cli", &[], &["datafusion-sql", "clap"]),
            ("tests/golden", &[], &["rocksdb"]),
        ]);
        let [tests] = &table(DRAWING, "Edges")
            .pop()
            .expect("the last row")
            .subjects[..]
        else {
            panic!("it names one thing")
        };
        let findings = misplaced_libraries(&table(DRAWING, "Libraries"), &crates, tests);
        assert_eq!(
            findings,
            ["'cli' names the library 'datafusion-sql'; only 'jobs' and 'engine' may"]
        );
    }
}
