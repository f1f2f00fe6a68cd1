//! The head of a request: what is asked for, and how its body comes.
//!
//! *Promises* that a body has one length by any reading (RFC 9112): two lengths, a length beside chunks, or another coding than chunks is
//! refused, so that nobody before this and this can take two requests for one.

use httparse::{EMPTY_HEADER, Request, Status};

use crate::answer::{Answer, Outcome};

/// Largest head.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header fields.
const HEADERS_MAX: usize = 64;

/// What a request asks for.
#[derive(Debug)]
pub struct Head {
    /// In capitals.
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// How its body comes.
    pub framing: Framing,
    /// True if the client may send another request afterwards.
    pub keeps_alive: bool,
    /// True if the client waits for a word before it sends the body.
    pub expects_continue: bool,
    /// Names in lower case.
    headers: Vec<(String, Vec<u8>)>,
}

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl Head {
    /// Reads a head, if all of it is there, and how many bytes it has.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Answer> {
        let mut fields = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut fields);
        let size = match request.parse(bytes) {
            Ok(Status::Complete(size)) if size <= HEAD_BYTES_MAX => size,
            Ok(Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                let why = "the head of the request is too large; send fewer headers";
                return Err(Answer::refused(431, Outcome::TooLarge, why));
            }
            Err(error) => {
                let why = format!("this is no request of HTTP/1.1: {error}");
                return Err(Answer::malformed(400, &why));
            }
        };
        let fields = request.headers.iter();
        let headers: Vec<(String, Vec<u8>)> = fields
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
            .collect();
        let path = request.path.unwrap_or_default();
        let mut head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            framing: Framing::Length(0),
            keeps_alive: true,
            expects_continue: false,
            headers,
        };
        head.framing = head.find_framing()?;
        let is_newer = request.version == Some(1);
        head.keeps_alive = is_newer && !head.has_word("connection", "close");
        head.expects_continue = is_newer && head.has_word("expect", "100-continue");
        Ok(Some((head, size)))
    }

    /// The value of a header, by its name in lower case; nothing if there is none, or more than one.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.headers.iter();
        fields.filter_map(move |(of, value)| (of == name).then_some(value.as_slice()))
    }

    /// True if a header is a list with this word in it.
    fn has_word(&self, name: &str, word: &str) -> bool {
        let mut words = self
            .all(name)
            .flat_map(|value| value.split(|byte| *byte == b','));
        words.any(|of| of.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }

    fn find_framing(&self) -> Result<Framing, Answer> {
        let wrong = |status, why| Err(Answer::malformed(status, why));
        let mut lengths = self.all("content-length");
        let mut codings = self.all("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Framing::Length(0)),
            (Some(_), Some(_)) => {
                wrong(400, "the request has a length and chunks; send one of them")
            }
            (None, Some(coding)) => {
                if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
                    return Ok(Framing::Chunked);
                }
                wrong(501, "the only Transfer-Encoding that is taken is 'chunked'")
            }
            (Some(length), None) => {
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let text = std::str::from_utf8(length).ok().filter(|_| is_number);
                match text.and_then(|text| text.parse().ok()) {
                    Some(length) if lengths.next().is_none() => Ok(Framing::Length(length)),
                    _ => wrong(400, "the Content-Length is none"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Framing, HEAD_BYTES_MAX, Head};

    fn parse(text: &str) -> Result<Option<Head>, u16> {
        let parsed = Head::parse(text.as_bytes());
        parsed
            .map(|parsed| parsed.map(|(head, _)| head))
            .map_err(|answer| answer.status)
    }

    #[test]
    fn a_head_is_read_when_all_of_it_is_there() {
        let text = "POST /events/a?b HTTP/1.1\r\nHost: x\r\nX-Key:  7 \r\nContent-Length: 12\r\nConnection: Close\r\n\r\n";
        for size in 0..text.len() {
            assert!(matches!(parse(&text[..size]), Ok(None)), "{size}");
        }
        let head = parse(text).unwrap().unwrap();
        assert_eq!(
            (head.method.as_str(), head.path.as_str()),
            ("POST", "/events/a")
        );
        assert_eq!(head.framing, Framing::Length(12));
        assert_eq!(head.header("x-key"), Some(&b"7"[..]));
        assert!(!head.keeps_alive && !head.expects_continue);
    }

    #[test]
    fn a_body_has_one_length_by_any_reading() {
        let framing = |fields: &str| {
            let head = parse(&format!("POST / HTTP/1.1\r\n{fields}\r\n"))?;
            Ok(head.map(|head| head.framing))
        };
        assert_eq!(framing(""), Ok(Some(Framing::Length(0))));
        assert_eq!(
            framing("Transfer-Encoding: Chunked\r\n"),
            Ok(Some(Framing::Chunked))
        );
        for (wrong, status) in [
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                501,
            ),
        ] {
            assert_eq!(framing(wrong), Err(status), "{wrong}");
        }
    }

    #[test]
    fn garbage_and_what_is_too_large_is_refused() {
        assert_eq!(parse("\x16\x03\x01\x02").err(), Some(400));
        assert_eq!(parse("GET / HTTP/1.1\r\n folded\r\n\r\n").err(), Some(400));
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse(&long).err(), Some(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(parse(&many).err(), Some(431));
    }
}
