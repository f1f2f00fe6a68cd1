//! Ports for what a test starts and cannot hand a listening socket to.
//!
//! Between the moment at which a port is found free and the one at which a server listens on it, anybody may take it. So a port is chosen
//! where the kernel chooses none: below the range that outgoing connections and `bind(0)` are given theirs from, at a place by chance; and
//! whoever starts a server there says when it was taken all the same, and is given others ([`on_free_ports`]).
//! Does not reserve anything: a server that ends, and is to come back at its port, finds it free unless somebody wanted that very port.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{Error, ErrorKind};
use std::net::TcpListener;
use std::ops::RangeInclusive;

/// Where the kernel begins to give out ports, and where it says so.
const GIVEN_FROM_DEFAULT: u16 = 32_768;
const GIVEN_FROM: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Below are ports that are known by their number.
const LOWEST: u16 = 10_240;
/// How often others may take a port that was just found free. Each time is one in thousands.
const TRIES_MAX: usize = 5;

/// What a start on chosen ports can come to, if it does not succeed.
#[derive(Debug)]
pub enum Start<E> {
    /// Somebody else listens there meanwhile.
    PortTaken(E),
    /// It would fail on any other ports, too.
    Failed(E),
}

impl<E> Start<E> {
    /// What it said, for whom both come to the same.
    pub fn into_error(self) -> E {
        let (Self::PortTaken(error) | Self::Failed(error)) = self;
        error
    }
}

/// Starts something on `count` ports that nobody listens on, and on others as long as one of them was taken first.
///
/// # Errors
/// What `start` says: at once if it failed for another reason.
pub fn on_free_ports<T, E: From<Error>>(
    count: usize,
    mut start: impl FnMut(&[u16]) -> Result<T, Start<E>>,
) -> Result<T, E> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start(&free_ports(count)?) {
            Ok(started) => return Ok(started),
            Err(Start::PortTaken(_)) if tries < TRIES_MAX => {}
            Err(Start::PortTaken(error) | Start::Failed(error)) => return Err(error),
        }
    }
}

/// Starts something on one port of a range, for whom no others will do: on the first that nobody has, from a place in it by chance.
///
/// # Errors
/// What `start` says: at once if it failed for another reason than the port, at last if all of them are taken.
pub fn on_free_ports_of<T, E: From<Error>>(
    range: &RangeInclusive<u16>,
    mut start: impl FnMut(u16) -> Result<T, Start<E>>,
) -> Result<T, E> {
    let first = by_chance(range.len());
    let candidates = range.clone().cycle().skip(first).take(range.len());
    let free = candidates.filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let mut last = None;
    for port in free {
        match start(port) {
            Ok(started) => return Ok(started),
            Err(Start::PortTaken(error)) => last = Some(error),
            Err(Start::Failed(error)) => return Err(error),
        }
    }
    let none = || {
        let message = format!(
            "there is no free port from {} to {}",
            range.start(),
            range.end()
        );
        Error::new(ErrorKind::AddrInUse, message).into()
    };
    Err(last.unwrap_or_else(none))
}

/// A number below `count`.
fn by_chance(count: usize) -> usize {
    // Each of these has keys of its own: the standard library's source of chance.
    let chance = RandomState::new().hash_one(std::process::id());
    usize::try_from(chance % count as u64).expect("is below a number of ports")
}

/// Ports of 127.0.0.1 that nobody listens on, all different.
///
/// # Errors
/// If there are not so many.
pub fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let range = fs::read_to_string(GIVEN_FROM).unwrap_or_default();
    let given_from = range.split_whitespace().next();
    let given_from = given_from.and_then(|port| port.parse().ok());
    let candidates = LOWEST..given_from.unwrap_or(GIVEN_FROM_DEFAULT).max(LOWEST + 1_000);
    let first = by_chance(candidates.len());
    // Each is held until all are chosen, so that they differ.
    let listeners: Vec<_> = candidates
        .clone()
        .cycle()
        .skip(first)
        .take(candidates.len())
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .take(count)
        .collect();
    if listeners.len() < count {
        let message = format!("there are no {count} free ports from {LOWEST} on");
        return Err(Error::new(ErrorKind::AddrInUse, message));
    }
    let ports = listeners.iter();
    ports.map(|held| Ok(held.local_addr()?.port())).collect()
}
