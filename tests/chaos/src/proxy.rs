//! What lies between the jobs and a broker: a proxy that forwards every byte, until it is told to cut a commit.
//!
//! It understands of Kafka's protocol what it must: each request begins with its length, its kind and its version.
//! The kind that ends a transaction is what a commit waits for. From the cut on, nothing that the broker says reaches
//! the client on that connection, and after the silence the connection is closed; all others go on. Does not promise
//! to tell a commit from an abort: both end a transaction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// The kind of the request `EndTxn`.
const END_TRANSACTION: i16 = 26;
/// Length, kind and version.
const HEAD_BYTES: usize = 8;

/// Where a commit is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The broker commits; nobody hears of it.
    Answer,
    /// The broker never hears of it.
    Request,
}

/// What the proxies of all brokers have in common.
#[derive(Debug, Default)]
pub struct Scissors {
    armed: Mutex<Option<(Cut, Duration)>>,
    cuts: AtomicU64,
}

impl Scissors {
    /// Cuts the next end of a transaction, on whatever connection, and keeps that one silent for so long.
    pub fn arm(&self, cut: Cut, silence: Duration) {
        *self.armed() = Some((cut, silence));
    }

    /// Cuts nothing any more.
    pub fn disarm(&self) {
        *self.armed() = None;
    }

    /// How many transactions were cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    fn take(&self) -> Option<(Cut, Duration)> {
        let taken = self.armed().take();
        self.cuts
            .fetch_add(u64::from(taken.is_some()), Ordering::SeqCst);
        taken
    }

    fn armed(&self) -> MutexGuard<'_, Option<(Cut, Duration)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that clients can be told of before the broker behind it is there.
pub struct Proxy {
    listener: TcpListener,
    port: u16,
}

impl Proxy {
    /// Takes a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn bind() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where clients find it.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Forwards to a broker for as long as this process lives.
    pub fn forward(self, broker_port: u16, scissors: &Arc<Scissors>) {
        let scissors = Arc::clone(scissors);
        std::thread::spawn(move || {
            for client in self.listener.incoming().flatten() {
                // A broker that is away: the client sees its connection closed, as it would without a proxy.
                if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)) {
                    // A connection that cannot be split in two is closed.
                    drop(connect(client, broker, Arc::clone(&scissors)));
                }
            }
        });
    }
}

/// Forwards both ways, each in a thread of its own, until either side is closed.
fn connect(client: TcpStream, broker: TcpStream, scissors: Arc<Scissors>) -> Result<()> {
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let is_silent = Arc::new(AtomicBool::new(false));
    let (mut answers, mut to_client) = (broker.try_clone()?, client.try_clone()?);
    let silent = Arc::clone(&is_silent);
    std::thread::spawn(move || {
        // Either end may go at any time.
        drop(forward_answers(&mut answers, &mut to_client, &silent));
        close(&answers, &to_client);
    });
    std::thread::spawn(move || {
        let (mut requests, mut to_broker) = (&client, &broker);
        drop(forward_requests(
            &mut requests,
            &mut to_broker,
            &scissors,
            &is_silent,
        ));
        close(&client, &broker);
    });
    Ok(())
}

fn close(one: &TcpStream, other: &TcpStream) {
    // It may be closed already.
    drop(one.shutdown(Shutdown::Both));
    drop(other.shutdown(Shutdown::Both));
}

fn forward_answers(
    broker: &mut impl Read,
    client: &mut impl Write,
    is_silent: &AtomicBool,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = broker.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        if !is_silent.load(Ordering::SeqCst) {
            client.write_all(&bytes[..count])?;
        }
    }
}

/// Returns when the client has gone, or after the silence of a cut.
fn forward_requests(
    client: &mut impl Read,
    broker: &mut impl Write,
    scissors: &Scissors,
    is_silent: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = [0; HEAD_BYTES];
    let mut body = Vec::new();
    loop {
        client.read_exact(&mut head)?;
        let [l0, l1, l2, l3, k0, k1, _, _] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        body.resize((length + 4).saturating_sub(HEAD_BYTES), 0);
        client.read_exact(&mut body)?;
        let cut = (i16::from_be_bytes([k0, k1]) == END_TRANSACTION)
            .then(|| scissors.take())
            .flatten();
        // Before the broker can answer.
        is_silent.store(cut.is_some(), Ordering::SeqCst);
        if !matches!(cut, Some((Cut::Request, _))) {
            broker.write_all(&head)?;
            broker.write_all(&body)?;
        }
        if let Some((_, silence)) = cut {
            std::thread::sleep(silence);
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, END_TRANSACTION, Scissors, forward_answers, forward_requests};
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    fn request(kind: i16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(4 + body.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(body);
        bytes
    }

    /// What a broker gets of a produce, the end of a transaction and another produce; and whether the client hears it
    /// afterwards.
    fn forwarded(scissors: &Scissors) -> (Vec<u8>, bool) {
        let sent = [
            request(0, b"records"),
            request(END_TRANSACTION, b"commit"),
            request(0, b"more"),
        ]
        .concat();
        let (mut got, is_silent) = (Vec::new(), AtomicBool::new(false));
        drop(forward_requests(
            &mut sent.as_slice(),
            &mut got,
            scissors,
            &is_silent,
        ));
        let mut heard = Vec::new();
        forward_answers(&mut b"answer".as_slice(), &mut heard, &is_silent).unwrap();
        (got, !heard.is_empty())
    }

    #[test]
    fn without_a_cut_every_byte_arrives() {
        let (got, hears) = forwarded(&Scissors::default());
        assert!(got.ends_with(b"more") && hears);
    }

    #[test]
    fn the_answer_is_dropped_of_a_commit_that_the_broker_got() {
        let scissors = Scissors::default();
        scissors.arm(Cut::Answer, Duration::ZERO);
        let (got, hears) = forwarded(&scissors);
        assert!(got.ends_with(b"commit") && !hears);
        assert_eq!(scissors.cuts(), 1);
    }

    #[test]
    fn the_request_is_dropped_before_the_broker_gets_it() {
        let scissors = Scissors::default();
        scissors.arm(Cut::Request, Duration::ZERO);
        let (got, hears) = forwarded(&scissors);
        assert!(got.ends_with(b"records") && !hears);
    }
}
