//! The body of a request: read whole, within bounds of time, size and what all requests may hold together.

use std::io::{self, Read};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use httparse::{Status, parse_chunk_size};

use crate::answer::{Answer, Outcome};
use crate::budget::Share;
use crate::head::Framing;
use crate::stream::Stream;

/// Longest line between two chunks.
const LINE_BYTES_MAX: usize = 4 << 10;
/// How much is unpacked at once.
const UNPACK_BYTES: usize = 64 << 10;

/// Why there is no body.
#[derive(Debug)]
pub enum Failure {
    /// The client is gone.
    Gone,
    /// It is told why.
    Refused(Answer),
}

impl From<Answer> for Failure {
    fn from(answer: Answer) -> Self {
        Self::Refused(answer)
    }
}

/// A body that is read.
pub struct Reading<'a, 'b> {
    /// From whom.
    pub stream: &'a mut Stream,
    /// What it holds of the budget; grows with it.
    pub share: &'a mut Share<'b>,
    /// Largest body.
    pub bytes_max: usize,
    /// Until when.
    pub deadline: Instant,
}

impl Reading<'_, '_> {
    /// The body as it came.
    pub fn read(mut self, framing: Framing) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.take(length, &mut body)?;
            }
            Framing::Chunked => while self.chunk(&mut body)? {},
        }
        Ok(body)
    }

    /// Reads a chunk with its ends; false if it is the last one.
    fn chunk(&mut self, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let wrong = || Answer::malformed(400, "the chunks of the request are none");
        let size = loop {
            let buffered = self.stream.buffered();
            // What comes without any digit would pass for the last one.
            if buffered
                .first()
                .is_some_and(|byte| !byte.is_ascii_hexdigit())
            {
                return Err(wrong().into());
            }
            match parse_chunk_size(buffered) {
                Ok(Status::Complete((line, size))) => {
                    self.stream.consume(line);
                    break usize::try_from(size).unwrap_or(usize::MAX);
                }
                Ok(Status::Partial) if buffered.len() <= LINE_BYTES_MAX => self.more()?,
                _ => return Err(wrong().into()),
            }
        };
        if size > 0 {
            self.take(size, body)?;
        }
        // After the last chunk fields may follow, until an empty line.
        while !self.line()? {
            if size > 0 {
                return Err(wrong().into());
            }
        }
        Ok(size > 0)
    }

    /// Reads a line; true if it is empty.
    fn line(&mut self) -> Result<bool, Failure> {
        loop {
            let buffered = self.stream.buffered();
            if let Some(end) = memchr::memchr(b'\n', buffered) {
                let is_empty = matches!(&buffered[..end], b"" | b"\r");
                self.stream.consume(end + 1);
                return Ok(is_empty);
            }
            if buffered.len() > LINE_BYTES_MAX {
                let why = "the chunks of the request are none";
                return Err(Answer::malformed(400, why).into());
            }
            self.more()?;
        }
    }

    /// Reads so many bytes.
    fn take(&mut self, mut bytes: usize, body: &mut Vec<u8>) -> Result<(), Failure> {
        if bytes > self.bytes_max - body.len() {
            return Err(too_large(self.bytes_max).into());
        }
        while bytes > 0 {
            let buffered = self.stream.buffered();
            if buffered.is_empty() {
                self.more()?;
                continue;
            }
            let part = buffered.len().min(bytes);
            if !self.share.grow(part) {
                return Err(Answer::busy().into());
            }
            body.extend_from_slice(&buffered[..part]);
            self.stream.consume(part);
            bytes -= part;
        }
        Ok(())
    }

    fn more(&mut self) -> Result<(), Failure> {
        match self.stream.fill(self.deadline) {
            Ok(true) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Answer::too_slow().into()),
            Ok(false) | Err(_) => Err(Failure::Gone),
        }
    }
}

/// What gzip has packed.
pub fn unpacked(packed: &[u8], share: &mut Share<'_>, bytes_max: usize) -> Result<Vec<u8>, Answer> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut body = Vec::new();
    loop {
        let length = body.len();
        body.resize(length + UNPACK_BYTES, 0);
        let count = decoder.read(&mut body[length..]).map_err(|error| {
            Answer::malformed(400, &format!("the body cannot be unpacked: {error}"))
        })?;
        body.truncate(length + count);
        if count == 0 {
            return Ok(body);
        }
        if body.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if !share.grow(count) {
            return Err(Answer::busy());
        }
    }
}

fn too_large(bytes_max: usize) -> Answer {
    let why = format!("the request has more than {bytes_max} bytes; send several smaller ones");
    Answer::refused(413, Outcome::TooLarge, &why)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::unpacked;
    use crate::budget::Budget;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_bounded_by_what_it_unpacks_to() {
        let budget = Budget::new(1 << 20);
        let unpack = |packed: &[u8], max| {
            let unpacked = unpacked(packed, &mut budget.share(), max);
            unpacked.map_err(|answer| answer.status)
        };
        let bytes = vec![b'x'; 500_000];
        assert_eq!(unpack(&packed(&bytes), 1 << 20), Ok(bytes.clone()));
        assert_eq!(unpack(&packed(&bytes), 499_999), Err(413));
        assert_eq!(unpack(&packed(&vec![b'x'; 2 << 20]), 4 << 20), Err(429));
        assert_eq!(unpack(b"no gzip", 10), Err(400));
        assert_eq!(unpack(&packed(b"cut off")[..12], 10), Err(400));
        assert_eq!(budget.held(), 0);
    }
}
