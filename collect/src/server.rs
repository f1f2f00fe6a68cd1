//! Listens, and gives each client a thread of its own, so many at most.
//!
//! *Promises* to end in order: nobody new is let in, those who wait for nothing are hung up on, and everybody else gets an answer first.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::json;
use tidemill_connectors_kafka::append::Appender;

use crate::Error;
use crate::answer::{Answer, Outcome};
use crate::budget::Budget;
use crate::connection;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::tls;

/// What a client's thread has for its calls.
const STACK_BYTES: usize = 512 << 10;
/// How often is looked whether it is over.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long is waited after a client could not be let in, for instance because there are too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long answers may take beyond what reading them and Kafka may.
const END_WAIT_MAX: Duration = Duration::from_secs(20);
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Listens, but answers nobody yet.
pub struct Collector {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all clients' threads share.
pub struct Shared {
    /// What is done for them.
    pub service: Service,
    /// What they hold.
    pub budget: Budget,
    tls: Option<Arc<ServerConfig>>,
    is_stopping: AtomicBool,
    connections: AtomicUsize,
    /// Those who wait for a request.
    idle: Mutex<BTreeMap<u64, TcpStream>>,
    next_idle: AtomicU64,
}

impl Collector {
    /// Listens, and connects to Kafka.
    ///
    /// # Errors
    /// `Invalid` if a setting is wrong or less safe than it must be, `Retry` if the brokers don't answer.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        check(&settings)?;
        let tls = settings.tls.as_ref().map(tls::config).transpose()?;
        let address = settings.listen;
        let listening = TcpListener::bind(address).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, address) = listening.map_err(|source| Error::Listen { address, source })?;
        let topics = settings.endpoints.values();
        let topics: Vec<&str> = topics.map(|endpoint| endpoint.topic.as_str()).collect();
        let appender = Appender::connect(&settings.kafka, &topics, settings.limits.kafka_wait_max)?;
        let metrics = Metrics::new(settings.endpoints.keys());
        let shared = Shared {
            budget: Budget::new(settings.limits.in_flight_bytes_max),
            service: Service {
                endpoints: settings.endpoints,
                tokens: settings.tokens,
                limits: settings.limits,
                appender,
                metrics,
            },
            tls,
            is_stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            idle: Mutex::default(),
            next_idle: AtomicU64::new(0),
        };
        Ok(Self {
            listener,
            address,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is told to stop, and then those who have asked.
    ///
    /// # Errors
    /// If nothing can be appended any more.
    pub fn run(self, stop: &AtomicBool) -> Result<(), Error> {
        let Self {
            listener,
            address,
            shared,
        } = self;
        let accepting = Arc::clone(&shared);
        let named = thread::Builder::new().name("accept".to_owned());
        let acceptor = named.spawn(move || accept(&listener, &accepting));
        let acceptor = acceptor.map_err(Error::Thread)?;
        let mut ended = None;
        while !stop.load(Ordering::SeqCst) && ended.is_none() {
            thread::sleep(LOOK_AGAIN);
            ended = shared.service.appender.ended();
        }
        shared.is_stopping.store(true, Ordering::SeqCst);
        // Whoever accepts hears of it by one more client.
        drop(TcpStream::connect(reachable(address)));
        // It has no state that a panic could have spoilt.
        drop(acceptor.join());
        shared.hang_up_on_idle();
        let limits = &shared.service.limits;
        let deadline =
            Instant::now() + limits.request_wait_max + limits.kafka_wait_max + END_WAIT_MAX;
        while shared.connections.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
        ended.map_or(Ok(()), |why| Err(Error::Ended(why)))
    }
}

/// Refuses what could not work, or would let in whoever comes by.
fn check(settings: &Settings) -> Result<(), Error> {
    if settings.endpoints.is_empty() {
        let why = "there is no endpoint; add a table such as [endpoint.orders] with its topic";
        return Err(Error::Setting(why.to_owned()));
    }
    let address = settings.listen;
    if address.ip().is_loopback() {
        return Ok(());
    }
    let exposed = |lacks| Err(Error::Exposed { address, lacks });
    let mut endpoints = settings.endpoints.values();
    if settings.tls.is_none() {
        return exposed("and tokens unencrypted");
    }
    if settings.tokens.is_empty() && endpoints.any(|endpoint| endpoint.tokens.is_empty()) {
        return exposed("without asking for a token");
    }
    Ok(())
}

/// Where an address is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.is_stopping() {
            return;
        }
        match accepted {
            Ok((socket, _)) => {
                if let Err(error) = let_in(socket, shared) {
                    tracing::warn!(%error, "a client could not be let in");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept clients");
                thread::sleep(ACCEPT_AGAIN);
            }
        }
    }
}

fn let_in(socket: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let max = shared.service.limits.connections_max;
    let mut stream = Stream::new(socket, shared.tls.as_ref())?;
    if shared.connections.load(Ordering::SeqCst) >= max {
        (shared.service.metrics).on_answer(None, Outcome::Busy);
        if shared.tls.is_none() {
            let why = "there are too many connections; try again later";
            let body = json!({"error": why, "written": 0});
            let answer = Answer::later(503, Outcome::Busy, &body);
            stream.write(&answer.encode(true, false))?;
        }
        return stream.socket().shutdown(Shutdown::Write);
    }
    let place = Place::take(shared);
    let named = thread::Builder::new()
        .name("client".to_owned())
        .stack_size(STACK_BYTES);
    named.spawn(move || connection::serve(stream, &place.0))?;
    Ok(())
}

/// One of the connections that there may be.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// True if no request is to follow.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// What the metrics are now.
    pub fn metrics(&self) -> Answer {
        let connections = self.connections.load(Ordering::SeqCst);
        Answer {
            status: 200,
            outcome: Outcome::Ok,
            headers: "",
            content_type: PROMETHEUS,
            body: (self.service.metrics).text(connections, self.budget.held()),
        }
    }

    /// Says that a client waits for nothing; nothing if it is to go.
    pub fn idle(&self, socket: &TcpStream) -> Option<Idle<'_>> {
        let number = self.next_idle.fetch_add(1, Ordering::Relaxed);
        let socket = socket.try_clone().ok()?;
        let mut idle = self.lock_idle();
        // Looked at under the lock: who hangs up does so after it was set.
        if self.is_stopping() {
            return None;
        }
        idle.insert(number, socket);
        drop(idle);
        Some(Idle {
            shared: self,
            number,
        })
    }

    fn hang_up_on_idle(&self) {
        for socket in self.lock_idle().values() {
            // It may be gone by itself.
            drop(socket.shutdown(Shutdown::Read));
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        // Each change is one call.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that waits for nothing.
pub struct Idle<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.shared.lock_idle().remove(&self.number);
    }
}
