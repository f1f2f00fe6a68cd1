//! A connection as bytes, with a deadline on every read, encrypted or not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How much is read at once.
const READ_BYTES: usize = 32 << 10;
/// How long a client may take to take a part of an answer.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long, and how much, is read of a client that is not listened to any more, so that it can read its answer.
const LINGER_WAIT_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// A client.
pub struct Stream {
    wire: Wire,
    buffer: Vec<u8>,
    /// What of the buffer was consumed.
    start: usize,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    /// Over a socket.
    pub fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_WAIT_MAX))?;
        let wire = match tls {
            None => Wire::Plain(socket),
            Some(config) => {
                let connection =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Wire::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        Ok(Self {
            wire,
            buffer: Vec::new(),
            start: 0,
        })
    }

    /// The socket below.
    pub const fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// What was read and not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Lets go of what was read.
    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Reads more, however little; false if the client sends nothing any more.
    ///
    /// # Errors
    /// `TimedOut` if nothing comes until the deadline.
    pub fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + READ_BYTES, 0);
        let read = read(&mut self.wire, &mut self.buffer[length..], deadline);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(length + count);
        read.map(|count| count > 0)
    }

    /// Writes all of it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Ends the connection of a client that may still be sending: closed at once, it could lose the answer on the way.
    pub fn close(mut self) {
        if let Wire::Tls(stream) = &mut self.wire {
            stream.conn.send_close_notify();
            // Who does not want to hear of the end is gone.
            drop(stream.flush());
        }
        let deadline = Instant::now() + LINGER_WAIT_MAX;
        let mut left = LINGER_BYTES_MAX;
        if self.socket().shutdown(Shutdown::Write).is_err() {
            return;
        }
        while left > 0 && matches!(self.fill(deadline), Ok(true)) {
            let count = self.buffered().len();
            left = left.saturating_sub(count);
            self.consume(count);
        }
    }
}

fn read(wire: &mut Wire, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let read = match wire {
            Wire::Plain(socket) => {
                socket.set_read_timeout(Some(left))?;
                socket.read(into)
            }
            Wire::Tls(stream) => {
                stream.sock.set_read_timeout(Some(left))?;
                stream.read(into)
            }
        };
        match read {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) => {}
            // A client of TLS that hangs up without a word.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
            read => return read,
        }
    }
}
