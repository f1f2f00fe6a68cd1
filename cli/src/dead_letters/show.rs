//! `tidemill dead-letters show`: one letter, with the place at fault where the reason names one.

use std::io::{self, Write};

use chrono::DateTime;
use tidemill_terminal::show::{self, BAD, HEADING, QUIET, bytes, counted};
use tidemill_types::DeadLetter;

use super::place::Place;
use super::{Position, no_letter};
use crate::job::Job;

/// So much of a value is shown; `export` has all of it.
const SHOWN_BYTES: usize = 4 << 10;
/// Bytes in a line of a hex dump.
const DUMP_BYTES: usize = 16;
/// What a reason says before the place at fault.
const AT_BYTE: &str = "at byte ";

/// Shows all letters of a place: each source that refused its record made one.
pub fn show(job: &Job, place: &Place, wanted: &Position, json: bool) -> anyhow::Result<()> {
    let mut out = show::stdout();
    let mut shown = 0;
    place.read(&job.plan, &mut |letter| {
        if Position::of(&letter) != *wanted {
            return Ok(());
        }
        if json {
            writeln!(out, "{}", serde_json::to_string(&letter)?)?;
        } else {
            if shown > 0 {
                writeln!(out)?;
            }
            print(&mut out, &letter)?;
        }
        shown += 1;
        Ok(())
    })?;
    if shown == 0 {
        return Err(no_letter(wanted, place).into());
    }
    Ok(())
}

fn print(out: &mut dyn Write, letter: &DeadLetter) -> io::Result<()> {
    let position = Position::of(letter);
    writeln!(out, "{HEADING}dead letter {position}{HEADING:#}")?;
    writeln!(out, "reason     {BAD}{}{BAD:#}", letter.reason)?;
    writeln!(
        out,
        "refused    by stage '{}' of '{}', plan {}",
        letter.stage, letter.source, letter.plan
    )?;
    let time = letter
        .timestamp_ms
        .and_then(DateTime::from_timestamp_millis);
    if let Some(time) = time {
        writeln!(
            out,
            "written    {}",
            time.format("%Y-%m-%d %H:%M:%S%.3f UTC")
        )?;
    }
    writeln!(out, "key        {}", in_line(letter.key.as_deref()))?;
    for header in &letter.headers {
        let value = in_line(header.value.as_deref());
        writeln!(out, "header     {} = {value}", header.name)?;
    }
    let Some(value) = &letter.bytes else {
        return writeln!(out, "value      null");
    };
    let cut = if letter.truncated {
        ", only the beginning of it"
    } else {
        ""
    };
    let size = match value.len() as u64 {
        few if few < 1_000 => counted(few, "byte"),
        many => bytes(many),
    };
    writeln!(out, "value      {size}{cut}")?;
    let fault = fault(&letter.reason);
    write!(out, "{}", dump(value, fault))?;
    if value.len() > SHOWN_BYTES {
        writeln!(out, "{QUIET}… 'export' has all of it{QUIET:#}")?;
    }
    Ok(())
}

/// The byte that the reason names.
fn fault(reason: &str) -> Option<usize> {
    let (_, rest) = reason.split_once(AT_BYTE)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// A short part of a record: text, or else hex.
fn in_line(part: Option<&[u8]>) -> String {
    let Some(part) = part else {
        return "null".to_owned();
    };
    match printable(part) {
        Some(text) => format!("'{text}'"),
        None => part.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The text, if bytes are text that a terminal shows as it is.
fn printable(part: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(part).ok()?;
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().all(is_shown).then_some(text)
}

/// A value as text with a mark under the byte at fault, or as a hex dump with a mark behind its line.
fn dump(value: &[u8], fault: Option<usize>) -> String {
    let shown = &value[..value.len().min(SHOWN_BYTES)];
    let cut = |error: std::str::Utf8Error| {
        shown.len() - error.valid_up_to() < 4 && value.len() > shown.len()
    };
    let text = match std::str::from_utf8(shown) {
        Err(error) if cut(error) => printable(&shown[..error.valid_up_to()]),
        _ => printable(shown),
    };
    match text {
        Some(text) => text_dump(text, fault),
        None => hex_dump(shown, fault),
    }
}

fn text_dump(text: &str, fault: Option<usize>) -> String {
    let mut out = String::new();
    let mut start = 0;
    for line in text.split('\n') {
        out += &format!("  {line}\n");
        let end = start + line.len();
        if let Some(fault) = fault.filter(|fault| (start..=end).contains(fault)) {
            let before = line.char_indices().filter(|(at, _)| start + at < fault);
            let before: String = before
                .map(|(_, c)| if c == '\t' { '\t' } else { ' ' })
                .collect();
            out += &format!("  {before}^ byte {fault}\n");
        }
        start = end + 1;
    }
    out
}

fn hex_dump(bytes: &[u8], fault: Option<usize>) -> String {
    let mut out = String::new();
    for (number, line) in bytes.chunks(DUMP_BYTES).enumerate() {
        let start = number * DUMP_BYTES;
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text: String = (line.iter())
            .map(|&byte| {
                if byte.is_ascii_graphic() || byte == b' ' {
                    char::from(byte)
                } else {
                    '.'
                }
            })
            .collect();
        let mark = match fault {
            Some(fault) if (start..start + DUMP_BYTES).contains(&fault) => {
                format!("  < byte {fault}")
            }
            _ => String::new(),
        };
        out += &format!("  {start:08x}  {hex:<48} {text}{mark}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{dump, fault, in_line};

    #[test]
    fn text_has_a_mark_under_the_byte_at_fault() {
        let reason = "invalid JSON at byte 9: expected value";
        let shown = dump("{\"ü\":\n  x}".as_bytes(), fault(reason));
        assert_eq!(shown, "  {\"ü\":\n    x}\n    ^ byte 9\n");
        let at_end = dump(b"{\"a\"", fault("truncated JSON: it ends at byte 4 (EOF)"));
        assert_eq!(at_end, "  {\"a\"\n      ^ byte 4\n");
        assert_eq!(dump(b"{}", fault("field 'x': expected BIGINT")), "  {}\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_dumped_in_hex() {
        let bytes = [b"record".as_slice(), &[0xff, 0, 0x1b], b" more of it"].concat();
        let expected = "  00000000  72 65 63 6f 72 64 ff 00 1b 20 6d 6f 72 65 20 6f  record... more o  < byte 6\n  \
                        00000010  66 20 69 74                                      f it\n";
        assert_eq!(dump(&bytes, fault("invalid UTF-8 at byte 6")), expected);
        assert_eq!(in_line(Some(b"\x1b[2J")), "1b5b324a");
        assert_eq!(
            (in_line(None), in_line(Some(b""))),
            ("null".to_owned(), "''".to_owned())
        );
    }

    #[test]
    fn a_character_that_is_cut_makes_no_hex_of_a_text() {
        let long = "é".repeat(4_000);
        assert!(dump(long.as_bytes(), None).starts_with("  éé"));
        let odd = format!("x{long}");
        assert!(dump(odd.as_bytes(), None).starts_with("  xéé"));
    }
}
