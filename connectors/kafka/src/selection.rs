//! Which topics a source reads: the options `topic` and `topic.pattern`.
//!
//! *Promises* that a pattern has to fit the whole of a name, and never takes the brokers' own topics (`__…`) or Tidemill's (`tidemill.…`): a
//! job that reads its own journal would never come to its end. *Does not* know the topics that a job's sinks write to.

use std::fmt;

use regex::{Regex, RegexBuilder};
use tidemill_connectors_api::{Error, Options};

use crate::options::{invalid, topic};

/// The option with one name, or several.
const TOPIC: &str = "topic";
/// The option with a regular expression.
const PATTERN: &str = "topic.pattern";
/// What the names begin with that no pattern takes.
const OWN: [&str; 2] = ["__", "tidemill."];
/// How large a pattern may become when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Topics by name, or by what their names look like.
#[derive(Clone, Debug)]
pub enum Selection {
    /// These, in order, each once.
    Named(Vec<String>),
    /// All that fit, also those that are made later.
    Matching {
        /// What the option says.
        text: String,
        /// The same, for whole names.
        pattern: Regex,
    },
}

impl Selection {
    /// Reads a source's options.
    pub fn parse(what: &str, options: &Options) -> Result<Self, Error> {
        match (options.get(TOPIC), options.get(PATTERN)) {
            (Some(names), None) if !names.trim().is_empty() => named(what, names),
            (None, Some(text)) if !text.is_empty() => matching(what, text),
            (Some(_), Some(_)) => Err(invalid(format!(
                "{what} has '{TOPIC}' and '{PATTERN}'; leave one out"
            ))),
            _ => Err(invalid(format!(
                "{what} lacks the option '{TOPIC}', which connector 'kafka' needs; add {TOPIC} = '…' to its WITH, a name or several with \
                 commas, or {PATTERN} = '…', a regular expression"
            ))),
        }
    }

    /// Whether a topic is one of them.
    pub fn takes(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == topic),
            Self::Matching { pattern, .. } => {
                !OWN.iter().any(|own| topic.starts_with(own)) && pattern.is_match(topic)
            }
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.write_str(&names.join(", ")),
            Self::Matching { text, .. } => f.write_str(text),
        }
    }
}

fn named(what: &str, text: &str) -> Result<Selection, Error> {
    let names = text.split(',').map(|name| topic(what, TOPIC, name.trim()));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(invalid(format!(
            "{what} has topic '{}' twice; leave one out",
            twice[0]
        )));
    }
    Ok(Selection::Named(names))
}

fn matching(what: &str, text: &str) -> Result<Selection, Error> {
    let whole = format!("^(?:{text})$");
    // By itself as well: "a)|(b" is only wrong so.
    let pattern = Regex::new(text).and_then(|_| {
        let mut whole = RegexBuilder::new(&whole);
        whole.size_limit(PATTERN_BYTES_MAX).build()
    });
    match pattern {
        Ok(pattern) => Ok(Selection::Matching {
            text: text.to_owned(),
            pattern,
        }),
        Err(error) => Err(invalid(format!(
            "{what} has {PATTERN} = '{text}', which is no regular expression: {error}; mend it, such as 'orders-.*'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::Options;

    use super::Selection;

    fn parse(options: &[(&str, &str)]) -> Result<Selection, String> {
        let options = options.iter();
        let options: Options = options
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Selection::parse("source 's'", &options).map_err(|error| error.message)
    }

    #[test]
    fn topics_are_named_one_or_several() {
        let one = parse(&[("topic", "orders")]).unwrap();
        assert_eq!(one.to_string(), "orders");
        let several = parse(&[("topic", "orders-eu ,orders")]).unwrap();
        assert_eq!(several.to_string(), "orders, orders-eu");
        assert!(several.takes("orders-eu") && !several.takes("orders-us"));
        for (wrong, told) in [
            ("a,,b", "''"),
            ("a, b, a", "'a' twice"),
            ("a b", "'a b'"),
            (" ", "lacks"),
        ] {
            let error = parse(&[("topic", wrong)]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_pattern_takes_whole_names_and_never_what_is_internal() {
        let pattern = parse(&[("topic.pattern", "orders-.*|returns")]).unwrap();
        assert!(pattern.takes("orders-eu") && pattern.takes("returns"));
        assert!(!pattern.takes("my-orders-eu") && !pattern.takes("returns2"));
        let all = parse(&[("topic.pattern", ".*")]).unwrap();
        assert!(all.takes("orders") && all.takes("_schemas"));
        assert!(!all.takes("__consumer_offsets") && !all.takes("tidemill.journal.job"));
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_told() {
        for wrong in ["orders-(", "a)|(b", "*"] {
            let error = parse(&[("topic.pattern", wrong)]).unwrap_err();
            assert!(
                error.contains(wrong) && error.contains("mend it"),
                "{error}"
            );
        }
        let both = parse(&[("topic", "a"), ("topic.pattern", "a")]).unwrap_err();
        assert!(both.contains("leave one out"), "{both}");
        assert!(parse(&[]).unwrap_err().contains("topic.pattern"));
    }
}
