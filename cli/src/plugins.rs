//! What is built into this binary: the one place where connectors and formats are wired in.

use std::sync::Arc;

use tidemill_connectors_api::Connector;
use tidemill_connectors_files::Files;
pub use tidemill_connectors_files::journal;
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_postgres::Postgres;
use tidemill_connectors_redis::Redis;
use tidemill_connectors_search::Search;
use tidemill_connectors_webhook::Webhook;
pub use tidemill_formats::all as formats;

/// All connectors.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(Kafka),
        Arc::new(Files),
        Arc::new(Postgres),
        Arc::new(Redis::default()),
        Arc::new(Search::default()),
        Arc::new(Webhook::default()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::connectors;

    /// The options of a table under a heading, by the page's text.
    fn documented<'a>(page: &'a str, heading: &str) -> Option<BTreeSet<&'a str>> {
        let (_, table) = page.split_once(&format!("\n## {heading}\n"))?;
        let table = table.split("\n## ").next()?;
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.flat_map(|row| row.split(" | ").next().into_iter());
        let names = names.flat_map(|names| names.split(", "));
        Some(names.map(|name| name.trim_matches('`')).collect())
    }

    #[test]
    fn the_page_of_a_connector_has_every_option_that_there_is_and_no_other() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/connectors");
        let mut read = BTreeSet::new();
        for known in connectors().iter().map(|connector| connector.options()) {
            // Files have no page, and that of Kafka has a test beside its options.
            if ["files", "kafka"].contains(&known.name) {
                continue;
            }
            let page = std::fs::read_to_string(pages.join(format!("{}.md", known.name)));
            let page = page.expect("a connector has a page of its name");
            let of_sinks = documented(&page, "Options").expect("it has a table");
            let of_sources = documented(&page, "Options of a source").unwrap_or_default();
            assert_eq!(of_sinks, known.sink.into_iter().collect(), "{}", known.name);
            assert_eq!(
                of_sources,
                known.source.into_iter().collect(),
                "{}",
                known.name
            );
            read.insert(known.name);
        }
        let all = ["postgres", "redis", "search", "webhook"];
        assert!(read.iter().eq(&all), "{read:?}");
    }
}
