//! The findings for a person.

use std::io::{self, Write};

use tidemill_studio::Report;
use tidemill_studio::oracle::Counts;
use tidemill_studio::verifier::SinkReport;
use tidemill_terminal::show::{BAD, GOOD, HEADING, QUIET, counted, grouped};

use super::Findings;

/// How much of a film's title is shown.
const TITLE_CHARS: usize = 40;

/// Prints everything; the verdict comes last.
pub fn print(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let Findings { rows, commits } = findings;
    print_inputs(out, rows)?;
    print_dropped(out, rows)?;
    print_sinks(out, rows)?;
    print_overruns(out, rows)?;
    writeln!(out, "\n{HEADING}Commit by commit{HEADING:#}")?;
    writeln!(
        out,
        "  {} with {} looked at",
        counted(commits.epochs, "epoch"),
        counted(commits.compared, "total")
    )?;
    for example in &commits.examples {
        writeln!(out, "  {BAD}impossible:{BAD:#} {example}")?;
    }
    match commits.violations {
        0 => writeln!(out, "  none of them ever showed an impossible total")?,
        count => writeln!(out, "  {BAD}{} impossible{BAD:#}", grouped(count))?,
    }
    writeln!(out)?;
    let equal = grouped(rows.rows_equal());
    if findings.are_good() {
        writeln!(out, "{GOOD}verified: {equal} rows equal the oracle{GOOD:#}")?;
    } else {
        let wrong = grouped(findings.wrong_rows());
        let impossible = grouped(commits.violations);
        writeln!(
            out,
            "{BAD}not verified: {wrong} rows are wrong, {impossible} totals were impossible{BAD:#}; {equal} rows equal the oracle"
        )?;
    }
    Ok(())
}

fn print_inputs(out: &mut dyn Write, rows: &Report) -> io::Result<()> {
    let line = |cells: [&str; 6]| {
        let [topic, records, accepted, duplicates, reads, dead] = cells;
        format!(
            "  {topic:<20} {records:>12} {accepted:>12} {duplicates:>12} {reads:>10} {dead:>13}"
        )
    };
    writeln!(out, "{HEADING}What came in{HEADING:#}")?;
    writeln!(
        out,
        "{QUIET}{}{QUIET:#}",
        line([
            "topic",
            "records",
            "accepted",
            "duplicates",
            "reads",
            "dead letters"
        ])
    )?;
    for (
        topic,
        Counts {
            records,
            accepted,
            duplicates,
            reads,
            dead,
        },
    ) in &rows.inputs
    {
        let cells = [records, accepted, duplicates, reads, dead].map(grouped);
        writeln!(
            out,
            "{}",
            line([
                topic.name(),
                &cells[0],
                &cells[1],
                &cells[2],
                &cells[3],
                &cells[4]
            ])
        )?;
    }
    Ok(())
}

fn print_dropped(out: &mut dyn Write, rows: &Report) -> io::Result<()> {
    writeln!(out, "\n{HEADING}What was dropped, and why{HEADING:#}")?;
    let sum = |count: fn(&Counts) -> u64| grouped(rows.inputs.values().map(count).sum::<u64>());
    let mut row = |what: &str, count: String, why: &str| {
        writeln!(out, "  {what:<20} {count:>12}{QUIET}{why}{QUIET:#}")
    };
    row(
        "duplicates",
        sum(|counts| counts.duplicates),
        "  the same event again",
    )?;
    row(
        "reads",
        sum(|counts| counts.reads),
        "  events that change nothing",
    )?;
    row(
        "dead letters",
        sum(|counts| counts.dead),
        "  kept in finance.dead_letters, with bytes and reason",
    )?;
    for (reason, count) in &rows.dead_by_reason {
        row(&format!("  {reason}"), grouped(count), "")?;
    }
    row(
        "late",
        grouped(rows.late_rows),
        "  too late for the audit, kept in finance.late",
    )
}

fn print_sinks(out: &mut dyn Write, rows: &Report) -> io::Result<()> {
    writeln!(out, "\n{HEADING}What came out{HEADING:#}")?;
    for sink in &rows.sinks {
        let SinkReport {
            topic,
            equal,
            missing,
            extra,
            different,
            disordered,
            pending,
            examples,
        } = sink;
        write!(
            out,
            "  {topic:<30} {:>12} rows equal the oracle",
            grouped(equal)
        )?;
        if *pending > 0 {
            write!(
                out,
                "{QUIET}, {} wait for the watermark{QUIET:#}",
                grouped(pending)
            )?;
        }
        for (what, count) in [
            ("missing", missing),
            ("extra", extra),
            ("different", different),
            ("out of order", disordered),
        ] {
            if *count > 0 {
                write!(out, ", {BAD}{} {what}{BAD:#}", grouped(count))?;
            }
        }
        writeln!(out)?;
        for example in examples {
            writeln!(out, "      {example}")?;
        }
    }
    Ok(())
}

fn print_overruns(out: &mut dyn Write, rows: &Report) -> io::Result<()> {
    if rows.overruns.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{HEADING}The worst overruns{HEADING:#}")?;
    writeln!(
        out,
        "{QUIET}  {:>10}  {:<TITLE_CHARS$}  {:>20}{QUIET:#}",
        "production", "title", "over its budget by"
    )?;
    for overrun in &rows.overruns {
        let title: String = overrun.title.chars().take(TITLE_CHARS).collect();
        let over = overrun.variance.to_string();
        writeln!(
            out,
            "  {:>10}  {title:<TITLE_CHARS$}  {:>20}",
            overrun.production_id,
            grouped(over.trim_start_matches('-'))
        )?;
    }
    Ok(())
}
