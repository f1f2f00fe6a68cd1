//! The tables of ARCHITECTURE.md, parsed: who may use whom, and who alone may name a heavy library.
//!
//! A table belongs to the last heading before it. In its first two columns, words in backticks are names; a name may end in `*` (any rest)
//! or `?` (may be unused), and the word "anything" without backticks stands for every name. Everything else in a cell is for the reader.

/// One row: what stands in its first two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names in the first column.
    pub subjects: Vec<Name>,
    /// Names in the second column.
    pub objects: Vec<Name>,
}

/// A name as drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, without its `?`; may end in `*`.
    pub pattern: String,
    /// Drawn with a `?`: nobody has to use it.
    pub optional: bool,
}

impl Name {
    fn parse(text: &str) -> Self {
        let (pattern, optional) = text
            .strip_suffix('?')
            .map_or((text, false), |pattern| (pattern, true));
        Self {
            pattern: pattern.to_owned(),
            optional,
        }
    }

    /// True if `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.pattern
            .strip_suffix('*')
            .map_or(self.pattern == name, |prefix| name.starts_with(prefix))
    }

    /// True if it stands for many names.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pattern.ends_with('*')
    }
}

/// The rows of the table under the heading `heading` of a Markdown document; none if there is no such heading or table.
#[must_use]
pub fn table(markdown: &str, heading: &str) -> Vec<Rule> {
    let is_heading = |line: &&str| line.starts_with('#');
    markdown
        .lines()
        .skip_while(|line| !is_heading(line) || line.trim_start_matches('#').trim() != heading)
        .skip(1)
        .take_while(|line| !is_heading(line))
        .filter_map(row)
        .collect()
}

/// A table's row as a rule; `None` for text, the table's head and its ruler.
fn row(line: &str) -> Option<Rule> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(names);
    let rule = Rule {
        subjects: cells.next()?,
        objects: cells.next()?,
    };
    (!rule.subjects.is_empty()).then_some(rule)
}

fn names(cell: &str) -> Vec<Name> {
    let mut names: Vec<_> = cell
        .split('`')
        .skip(1)
        .step_by(2)
        .map(Name::parse)
        .collect();
    if names.is_empty() && cell.contains("anything") {
        names.push(Name::parse("*?"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Name, Rule, table};

    const DOCUMENT: &str = "
# Edges elsewhere
| crate | may use |
|---|---|
| `wrong` | `wrong` |

## Edges
Some words with `code`.

| crate | may use | why |
|---|---|---|
| `operators` | `formats?`, `state` | they `sort` |
| `types` | nothing | |
| `tests/*` | anything | |

## Next
| `wrong` | `wrong` |
";

    fn drawn(subject: &str, objects: &[&str]) -> Rule {
        Rule {
            subjects: vec![Name::parse(subject)],
            objects: objects.iter().map(|name| Name::parse(name)).collect(),
        }
    }

    #[test]
    fn a_table_is_the_one_under_its_heading() {
        let expected = [
            drawn("operators", &["formats?", "state"]),
            drawn("types", &[]),
            drawn("tests/*", &["*?"]),
        ];
        assert_eq!(table(DOCUMENT, "Edges"), expected);
    }

    #[test]
    fn a_question_mark_makes_a_name_optional_and_a_star_opens_it() {
        let name = Name::parse("connectors/*?");
        assert!(name.optional && name.is_open());
        assert!(name.matches("connectors/kafka") && !name.matches("checkpoints"));
    }

    #[test]
    fn a_missing_heading_gives_no_rules() {
        assert!(table(DOCUMENT, "Nowhere").is_empty());
    }
}
