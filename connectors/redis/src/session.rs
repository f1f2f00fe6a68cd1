//! A connection to a server, on which every step ends within its time.
//!
//! Promises: an address is checked by the guard before it is connected to; by TLS the server's certificate is always checked, and its name; an
//! answer has no more bytes than it may. Does not connect again by itself: after a failure it is of no use any more.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, Value};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tidemill_connectors_http::Trust;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::tls::client_config;

use crate::error::Failure;
use crate::options::Server;

/// How many bytes an answer may have: what a step refuses is told with a line for each record.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// One connection.
pub struct Session {
    stream: Stream,
    parser: Parser,
    /// How long a step may take.
    within: Duration,
}

impl Session {
    /// Connects and logs in.
    pub fn connect(server: &Server, policy: Policy) -> Result<Self, Failure> {
        let deadline = Instant::now() + server.timeout;
        let socket = Socket::connect(server, policy, deadline)?;
        let stream = match &server.tls {
            None => Stream::Plain(socket),
            Some(trust) => Stream::Tls(Box::new(encrypted(socket, server, trust)?)),
        };
        let mut session = Self {
            stream,
            parser: Parser::new(),
            within: server.timeout,
        };
        if let Some(password) = &server.password {
            let mut login = redis::cmd("AUTH");
            if let Some(user) = &server.user {
                login.arg(user);
            }
            login.arg(password.value());
            let logged_in = session.ask(&login);
            logged_in.map_err(|failure| failure.without(password.value()))?;
        }
        if server.database != 0 {
            session.ask(redis::cmd("SELECT").arg(server.database))?;
        }
        Ok(session)
    }

    /// Asks something; an answer that is an error is a failure.
    pub fn ask(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let socket = self.stream.socket();
        socket.deadline = Instant::now() + self.within;
        let sent = self.stream.write_all(&command.get_packed_command());
        let sent = sent.and_then(|()| self.stream.flush());
        sent.map_err(|error| self.failed(error))?;
        let mut answer = Answer {
            stream: &mut self.stream,
            left: ANSWER_BYTES_MAX,
            ended: false,
            failed: None,
        };
        let parsed = self.parser.parse_value(&mut answer);
        let (ended, failed) = (answer.ended, answer.failed.take());
        match (parsed, failed) {
            (Ok(Value::ServerError(error)), _) => Err(Failure::server(&error)),
            (Ok(value), _) => Ok(value),
            (Err(_), Some(error)) => Err(self.failed(error)),
            (Err(_), None) if ended => Err(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
            (Err(error), None) => Err(Failure::Garbage(error.to_string())),
        }
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::of_io(error, self.within)
    }
}

/// What an answer is read from.
struct Answer<'a> {
    stream: &'a mut Stream,
    left: u64,
    ended: bool,
    /// The parser keeps no cause of what failed.
    failed: Option<io::Error>,
}

impl Read for Answer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match self.stream.read(buffer) {
            Ok(count) => {
                self.ended |= count == 0 && !buffer.is_empty();
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket on which nothing takes longer than until its deadline.
struct Socket {
    stream: TcpStream,
    deadline: Instant,
}

impl Socket {
    fn connect(server: &Server, policy: Policy, deadline: Instant) -> Result<Self, Failure> {
        let late = || Failure::Late(server.timeout);
        let mut last = None;
        for address in addresses(server, deadline)? {
            let refused = policy.check(address.ip());
            refused.map_err(|refused| {
                Failure::Refused(format!("'url' is refused: {refused}; mend it"))
            })?;
            let left = left_until(deadline).ok_or_else(late)?;
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(Failure::Io)?;
                    return Ok(Self { stream, deadline });
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => last = Some(late()),
                Err(error) => last = Some(Failure::Io(error)),
            }
        }
        Err(last.unwrap_or_else(|| Failure::Io(io::ErrorKind::AddrNotAvailable.into())))
    }
}

/// What is left; none if it is over.
fn left_until(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// Where the host of a server is. A name that is still being looked up when the time is over is not waited for.
fn addresses(server: &Server, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    let host = bare(&server.host).to_owned();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, server.port)]);
    }
    let (found, looked_up) = channel();
    let port = server.port;
    thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs();
        // Whoever asked may have gone.
        let _ = found.send(addresses.map(Iterator::collect));
    });
    let left = left_until(deadline).unwrap_or_default();
    match looked_up.recv_timeout(left) {
        Ok(addresses) => addresses.map_err(Failure::Io),
        Err(RecvTimeoutError::Timeout) => Err(Failure::Late(server.timeout)),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::Io(io::ErrorKind::NotFound.into())),
    }
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl Socket {
    /// What is left until the deadline, as the timeout of one call.
    fn left(&self) -> io::Result<Option<Duration>> {
        match left_until(self.deadline) {
            None => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// A call that ran into its timeout says so by a name that differs between systems.
fn timed<T>(done: io::Result<T>) -> io::Result<T> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        timed(self.stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        timed(self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Encrypts a connection, after the server has shown whose it is.
fn encrypted(
    mut socket: Socket,
    server: &Server,
    trust: &Trust,
) -> Result<StreamOwned<ClientConnection, Socket>, Failure> {
    let config = client_config(trust).map_err(|wrong| Failure::Refused(wrong.message))?;
    let name = ServerName::try_from(bare(&server.host).to_owned()).map_err(|_| {
        Failure::Refused(
            "the host of 'url' is no name that a certificate can have; mend it".to_owned(),
        )
    })?;
    let connection = ClientConnection::new(Arc::new(config), name);
    let mut connection = connection.map_err(|error| Failure::Untrusted(error.to_string()))?;
    while connection.is_handshaking() {
        let shaken = connection.complete_io(&mut socket);
        shaken.map_err(|error| Failure::of_io(error, server.timeout))?;
    }
    Ok(StreamOwned::new(connection, socket))
}
