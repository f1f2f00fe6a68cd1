//! A connection on which a server sends its log: the streaming replication protocol (PostgreSQL's manual, "Streaming Replication Protocol").
//!
//! A client of its own, since `tokio-postgres` has no replication mode: what is not framing is `postgres-protocol`'s. It blocks, and every
//! wait has an end. Promises: an address is checked by the guard before it is connected to; by TLS the server's certificate is always
//! checked, and its name; nothing is told to be flushed but what the caller says. Does not bind the login to the TLS connection, connect
//! again by itself, or look into what is sent.

use std::io::{self, ErrorKind as IoKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tidemill_connectors_http::tls::client_config;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::error::{Failure, ServerError};
use crate::options::Server;
use crate::session::{GRACE, addresses, host};

/// How the values of both kinds of sessions are written, so that a row of the snapshot and one of the log are alike.
pub const FORMS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
];

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// A message of PostgreSQL has at most a gigabyte, and some bytes of its own.
const MESSAGE_BYTES_MAX: usize = (1 << 30) + (1 << 20);
/// The shortest wait that there is.
const WAIT_MIN: Duration = Duration::from_millis(1);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    /// The same connection, for its timeouts.
    tcp: TcpStream,
    /// What was read: a message begins at `start`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How long a step may take.
    within: Duration,
    read_timeout: Duration,
}

/// What the server sends of its log.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent<'a> {
    /// A message of the output plugin, and the place in the log that it is about.
    Data { log: u64, payload: &'a [u8] },
    /// It is alive, has sent all before that place of its log, and perhaps wants to hear the same of us.
    Keepalive { end: u64, is_question: bool },
}

/// A message: its tag, and where its body lies.
struct Framed {
    tag: u8,
    body: std::ops::Range<usize>,
}

impl Wire {
    /// Connects and logs in.
    pub fn connect(server: &Server) -> Result<Self, Failure> {
        let within = server.timeout + GRACE;
        let deadline = Instant::now() + within;
        let tls = server.tls.as_ref().map(client_config).transpose();
        let tls = tls.map_err(|wrong| Failure::Refused(wrong.message))?;
        let mut tcp = connect(&resolve(server, within)?, deadline, within)?;
        tcp.set_nodelay(true).map_err(Failure::Io)?;
        tcp.set_read_timeout(Some(within)).map_err(Failure::Io)?;
        tcp.set_write_timeout(Some(within)).map_err(Failure::Io)?;
        let own = tcp.try_clone().map_err(Failure::Io)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(config) => {
                ask_for_tls(&mut tcp)?;
                let name = ServerName::try_from(host(server).to_owned());
                let name = name.map_err(|_| {
                    Failure::Refused("'url' has a host that no certificate can name; name the host as its certificate does".to_owned())
                })?;
                let client = ClientConnection::new(Arc::new(config), name)
                    .map_err(|error| by_tls(&error))?;
                let mut stream = StreamOwned::new(client, tcp);
                while stream.conn.is_handshaking() {
                    let done = stream.conn.complete_io(&mut stream.sock);
                    done.map_err(failed_handshake)?;
                }
                Box::new(stream)
            }
        };
        let mut wire = Self {
            stream,
            tcp: own,
            input: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            within,
            read_timeout: within,
        };
        wire.log_in(server)?;
        Ok(wire)
    }

    fn log_in(&mut self, server: &Server) -> Result<(), Failure> {
        let own = [
            ("user", server.user.as_str()),
            ("database", &server.database),
            ("replication", "database"),
            ("application_name", "tidemill"),
        ];
        let mut out = BytesMut::new();
        let parameters = own.into_iter().chain(FORMS);
        frontend::startup_message(parameters, &mut out).map_err(Failure::Io)?;
        self.write(&out)?;
        let password = server.password.as_ref().map(|password| password.value());
        let mut scram: Option<ScramSha256> = None;
        let deadline = Instant::now() + self.within;
        loop {
            let message = self.await_message(deadline)?;
            let body = &self.input[message.body];
            let mut out = BytesMut::new();
            match message.tag {
                b'R' => answer(body, &server.user, password, &mut scram, &mut out)?,
                b'Z' => return Ok(()),
                _ => {}
            }
            if !out.is_empty() {
                self.write(&out)?;
            }
        }
    }

    /// Sends a command, whose answer [`Wire::is_answered`] has.
    pub fn command(&mut self, command: &str) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        frontend::query(command, &mut out).map_err(Failure::Io)?;
        self.write(&out)
    }

    /// Waits for the end of a command's answer. False if it is not there yet.
    pub fn is_answered(&mut self, wait: Duration) -> Result<bool, Failure> {
        let deadline = Instant::now() + wait;
        while let Some(message) = self.message(deadline)? {
            if message.tag == b'Z' {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the server send its log from a place on, or from where the slot is, if that is later.
    pub fn start(&mut self, slot: &str, publication: &str, log: u64) -> Result<(), Failure> {
        let (high, low) = (log >> 32, log & 0xffff_ffff);
        self.command(&format!(
            "START_REPLICATION SLOT \"{slot}\" LOGICAL {high:X}/{low:X} (proto_version '1', publication_names '\"{publication}\"', messages 'true')"
        ))?;
        let deadline = Instant::now() + self.within;
        while self.await_message(deadline)?.tag != b'W' {}
        Ok(())
    }

    /// What comes next; none if nothing came within that time.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Sent<'_>>, Failure> {
        let deadline = Instant::now() + wait;
        let body = loop {
            let Some(message) = self.message(deadline)? else {
                return Ok(None);
            };
            match message.tag {
                b'd' => break message.body,
                b'c' => return Err(ended()),
                _ => {}
            }
        };
        let body = &self.input[body];
        let number = |at: usize| {
            let bytes = body.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        let sent = match body.first() {
            Some(b'w') => number(1).zip(body.get(25..)),
            Some(b'k') => {
                return match (number(1), body.get(17)) {
                    (Some(end), Some(&asks)) => Ok(Some(Sent::Keepalive {
                        end,
                        is_question: asks == 1,
                    })),
                    _ => Err(malformed()),
                };
            }
            _ => None,
        };
        let (log, payload) = sent.ok_or_else(malformed)?;
        Ok(Some(Sent::Data { log, payload }))
    }

    /// True if a whole message lies here already.
    pub fn has_more(&self) -> bool {
        let body = self.input.get(self.start + 1..self.start + 5);
        let length = body.and_then(|length| length.try_into().ok().map(u32::from_be_bytes));
        length.is_some_and(|length| self.end > self.start + length as usize)
    }

    /// Tells the server that everything before a place of its log is safe here; 0 tells nothing. It may be asked to say how far it is.
    pub fn status(&mut self, flushed: u64, asks: bool) -> Result<(), Failure> {
        let mut body = Vec::with_capacity(34);
        body.push(b'r');
        for _ in 0..3 {
            body.extend(flushed.to_be_bytes());
        }
        // The time here, which nobody needs.
        body.extend([0; 8]);
        body.push(u8::from(asks));
        let mut out = BytesMut::new();
        let data = frontend::CopyData::new(&body[..]).map_err(Failure::Io)?;
        data.write(&mut out);
        self.write(&out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.stream.write_all(bytes);
        let written = written.and_then(|()| self.stream.flush());
        written.map_err(|error| match is_late(&error) {
            true => Failure::Late(self.within),
            false => Failure::Io(error),
        })
    }

    fn await_message(&mut self, deadline: Instant) -> Result<Framed, Failure> {
        let message = self.message(deadline)?;
        message.ok_or(Failure::Late(self.within))
    }

    /// The next message; an error that the server tells is one.
    fn message(&mut self, deadline: Instant) -> Result<Option<Framed>, Failure> {
        loop {
            if let Some(message) = self.framed()? {
                if message.tag == b'E' {
                    return Err(Failure::Server(said(&self.input[message.body])));
                }
                return Ok(Some(message));
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    fn framed(&mut self) -> Result<Option<Framed>, Failure> {
        let input = &self.input[self.start..self.end];
        let Some((&[tag, a, b, c, d], _)) = input.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(malformed());
        }
        if input.len() <= length {
            return Ok(None);
        }
        let start = self.start + 5;
        self.start += 1 + length;
        Ok(Some(Framed {
            tag,
            body: start..self.start,
        }))
    }

    /// Reads what is there. False if nothing came in time.
    fn fill(&mut self, deadline: Instant) -> Result<bool, Failure> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.input.len() - self.end < READ_BYTES / 4 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.input.len() - self.end < READ_BYTES / 4 {
                self.input.resize(2 * self.input.len(), 0);
            }
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        let wait = wait.max(WAIT_MIN);
        if wait != self.read_timeout {
            self.tcp.set_read_timeout(Some(wait)).map_err(Failure::Io)?;
            self.read_timeout = wait;
        }
        match self.stream.read(&mut self.input[self.end..]) {
            Ok(0) => Err(ended()),
            Ok(read) => {
                self.end += read;
                Ok(true)
            }
            Err(error) if is_late(&error) => Ok(false),
            Err(error) if error.kind() == IoKind::Interrupted => Ok(true),
            Err(error) => Err(Failure::Io(error)),
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), IoKind::WouldBlock | IoKind::TimedOut)
}

fn ended() -> Failure {
    Failure::Io(io::Error::new(
        IoKind::UnexpectedEof,
        "the server ended the connection",
    ))
}

fn malformed() -> Failure {
    Failure::Refused(
        "what answers at 'url' does not speak PostgreSQL's protocol; name a database's host and port"
            .to_owned(),
    )
}

fn resolve(server: &Server, within: Duration) -> Result<Vec<SocketAddr>, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(Failure::Io)?;
    let found = runtime.block_on(async { timeout(within, addresses(server)).await });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    found.unwrap_or(Err(Failure::Late(within)))
}

fn connect(
    addresses: &[SocketAddr],
    deadline: Instant,
    within: Duration,
) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Io(io::Error::new(IoKind::NotFound, "the host has no address"));
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(address, left.max(WAIT_MIN)) {
            Ok(tcp) => return Ok(tcp),
            Err(error) if is_late(&error) => failure = Failure::Late(within),
            Err(error) => failure = Failure::Io(error),
        }
    }
    Err(failure)
}

fn ask_for_tls(tcp: &mut TcpStream) -> Result<(), Failure> {
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    tcp.write_all(&out).map_err(Failure::Io)?;
    let mut answer = [0];
    tcp.read_exact(&mut answer).map_err(Failure::Io)?;
    if answer == *b"S" {
        return Ok(());
    }
    Err(Failure::Refused(
        "the server does not support TLS; turn it on there (ssl = on), or say tls = 'off' where nobody listens on the way".to_owned(),
    ))
}

fn by_tls(error: &rustls::Error) -> Failure {
    Failure::Refused(format!(
        "by TLS, {error}; name the authority of the server's certificate by 'ssl.ca.location', the host as the certificate does, and where the server asks for one the job's 'ssl.certificate.location' and 'ssl.key.location'"
    ))
}

fn failed_handshake(error: io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(error) => by_tls(error),
        None => Failure::Io(error),
    }
}

/// Answers a question of the login.
fn answer(
    body: &[u8],
    user: &str,
    password: Option<&str>,
    scram: &mut Option<ScramSha256>,
    out: &mut BytesMut,
) -> Result<(), Failure> {
    let Some((code, rest)) = body.split_first_chunk() else {
        return Err(malformed());
    };
    let password = || {
        password.ok_or_else(|| {
            Failure::Refused(
                "the server wants a password, and there is none; add the option 'password'"
                    .to_owned(),
            )
        })
    };
    match u32::from_be_bytes(*code) {
        0 => Ok(()),
        3 => frontend::password_message(password()?.as_bytes(), out).map_err(Failure::Io),
        5 => {
            let salt = rest.first_chunk().ok_or_else(malformed)?;
            let hash = md5_hash(user.as_bytes(), password()?.as_bytes(), *salt);
            frontend::password_message(hash.as_bytes(), out).map_err(Failure::Io)
        }
        10 => {
            let mut offered = rest.split(|&byte| byte == 0);
            if !offered.any(|name| name == SCRAM_SHA_256.as_bytes()) {
                return Err(unknown_login());
            }
            let begun = ScramSha256::new(password()?.as_bytes(), ChannelBinding::unsupported());
            let first = frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), out);
            *scram = Some(begun);
            first.map_err(Failure::Io)
        }
        11 | 12 => {
            let is_last = code[3] == 12;
            let scram = scram.as_mut().ok_or_else(malformed)?;
            if is_last {
                return scram.finish(rest).map_err(|error| unproved(&error));
            }
            scram.update(rest).map_err(|error| unproved(&error))?;
            frontend::sasl_response(scram.message(), out).map_err(Failure::Io)
        }
        _ => Err(unknown_login()),
    }
}

fn unknown_login() -> Failure {
    Failure::Refused(
        "the server wants a login that is not known here; let it ask for SCRAM-SHA-256 in its pg_hba.conf"
            .to_owned(),
    )
}

fn unproved(error: &io::Error) -> Failure {
    Failure::Refused(format!(
        "the server did not prove that it knows the password ({error}); look at the options 'url' and 'password'"
    ))
}

/// An error as the protocol has it: fields, each with a letter.
fn said(body: &[u8]) -> ServerError {
    let field = |letter: u8| {
        let mut fields = body.split(|&byte| byte == 0);
        let field = fields.find(|field| field.first() == Some(&letter))?;
        Some(String::from_utf8_lossy(&field[1..]).into_owned())
    };
    let message = field(b'M').unwrap_or_default();
    ServerError {
        code: field(b'C').unwrap_or_default(),
        words: match field(b'D') {
            Some(detail) => format!("{message}: {detail}"),
            None => message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn an_error_is_read_by_its_fields() {
        let error = said(b"SERROR\0C55006\0Mslot is active\0DCode\0\0");
        assert_eq!(error.code, "55006");
        assert_eq!(error.words, "slot is active: Code");
        assert_eq!(said(b"").words, "");
    }
}
