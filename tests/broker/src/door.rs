//! A door to a server: what a test reaches it through, so that the server can be away for this test alone.
//!
//! Promises that nothing passes while it is shut, and that what was passing is cut off. Does not delay or change anything.

use std::io::{Error, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What passes; none while it is shut.
type Passing = Arc<Mutex<Option<Vec<TcpStream>>>>;

/// A door, open at first. It ends with this process.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    passing: Passing,
}

impl Door {
    /// A door to the server at this port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port can be had for it.
    pub fn to(port: u16) -> Result<Self, Error> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let passing = Arc::new(Mutex::new(Some(Vec::new())));
        let door = Self {
            address,
            passing: Arc::clone(&passing),
        };
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                // Whoever cannot pass is hung up on.
                let _ = pass(&from, port, &passing);
            }
        });
        Ok(door)
    }

    /// Where it is.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Lets nothing pass any more.
    pub fn shut(&self) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in passing.take().into_iter().flatten() {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets new connections pass again.
    pub fn open(&self) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.get_or_insert_default();
    }
}

fn pass(from: &TcpStream, port: u16, passing: &Passing) -> Result<(), Error> {
    let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(passing) = passing.as_mut() else {
        return Ok(());
    };
    let to = TcpStream::connect(("127.0.0.1", port))?;
    passing.extend([from.try_clone()?, to.try_clone()?]);
    for (mut read, mut write) in [
        (from.try_clone()?, to.try_clone()?),
        (to.try_clone()?, from.try_clone()?),
    ] {
        thread::spawn(move || {
            let _ = copy(&mut read, &mut write);
            let _ = write.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
