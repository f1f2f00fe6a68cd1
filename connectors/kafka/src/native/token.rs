//! The token that a client logs in with: given once, or again and again before it runs out.
//!
//! librdkafka would ask for a new one by an event that whoever polls the client has to see; a client that nobody polls for a while, as one of the
//! administration, would stay without. So a thread of its own keeps a client's token fresh. It ends when the client does.

use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::bindings as ffi;
use rdkafka::bindings::{rd_kafka_resp_err_t, rd_kafka_t};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tidemill_types::ErrorKind;

use crate::context::Context;
use crate::login::{self, Grant};
use crate::oidc::Oidc;

/// Until when a token counts, for librdkafka: it is the brokers that know, and the thread that gives a new one.
const TOKEN_UNTIL_MS: i64 = 253_402_300_799_000;
/// Room for what librdkafka says of an error.
const ERROR_BYTES_MAX: usize = 512;
/// How soon a token is asked for again that did not come.
const AGAIN: Duration = Duration::from_secs(1);
/// A token is replaced when this much of its time is over, in percent: before the brokers want to see the next one.
const REPLACED_AT: u32 = 70;

/// A client that is given tokens, as long as it is there.
struct Handle(Mutex<Option<NonNull<rd_kafka_t>>>);

// SAFETY: librdkafka's clients may be used from any thread, and the lock keeps the client from going while it is used.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Keeps a client's token fresh. Must go before its client.
pub struct Keeper {
    client: Arc<Handle>,
    /// The thread ends when this is gone.
    _stop: Sender<()>,
}

impl Keeper {
    /// Gives a client the token that its settings have or lead to, if it logs in with one.
    pub fn start<C>(client: &Client<C>, config: &ClientConfig) -> KafkaResult<Option<Self>>
    where
        C: ClientContext + AsRef<Context> + 'static,
    {
        if login::mechanism(config) != login::OAUTHBEARER {
            return Ok(None);
        }
        let handle = Handle(Mutex::new(NonNull::new(client.native_ptr())));
        let oidc = match login::grant(config) {
            Grant::Token(token) => return handle.give(&token).map(|()| None),
            Grant::Oidc(oidc) => oidc,
        };
        let client = (Arc::new(handle), Arc::clone(client.context()));
        let handle = Arc::clone(&client.0);
        let (stop, stopped) = channel();
        let named = thread::Builder::new().name("token".to_owned());
        let spawned = named.spawn(move || keep(&client.0, (*client.1).as_ref(), &oidc, &stopped));
        spawned.map_err(|error| unusable(&format!("cannot start a thread: {error}")))?;
        Ok(Some(Self {
            client: handle,
            _stop: stop,
        }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *self.client.lock() = None;
    }
}

/// Asks for tokens until the client is gone.
fn keep(handle: &Handle, context: &Context, oidc: &Oidc, stopped: &Receiver<()>) {
    let mut client = None;
    loop {
        let asked = match &client {
            Some(client) => oidc.ask(client),
            None => oidc.client().and_then(|made| oidc.ask(client.insert(made))),
        };
        let wait = match asked {
            Ok(token) => match handle.give(&token.text) {
                Ok(()) => (token.lifetime * REPLACED_AT / 100).max(AGAIN),
                Err(error) => {
                    context.on_error(RDKafkaErrorCode::Authentication, &error.to_string());
                    AGAIN
                }
            },
            Err(error) => {
                let code = match error.kind() {
                    ErrorKind::Invalid => RDKafkaErrorCode::Authentication,
                    _ => RDKafkaErrorCode::BrokerTransportFailure,
                };
                context.on_error(code, &error.message);
                AGAIN
            }
        };
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, Option<NonNull<rd_kafka_t>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the client a token, if it is still there.
    fn give(&self, token: &str) -> KafkaResult<()> {
        let client = self.lock();
        let Some(native) = *client else {
            return Ok(());
        };
        let token = CString::new(token).map_err(|_| unusable("the token is none"))?;
        let mut reason: [c_char; ERROR_BYTES_MAX] = [0; ERROR_BYTES_MAX];
        // SAFETY: the client is alive as long as its handle is locked, and copies token and principal; what went wrong is written with its end
        // into room of the size that is told.
        let code = unsafe {
            ffi::rd_kafka_oauthbearer_set_token(
                native.as_ptr(),
                token.as_ptr(),
                TOKEN_UNTIL_MS,
                c"tidemill".as_ptr(),
                ptr::null_mut(),
                0,
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        match code {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            // What librdkafka says may repeat the token.
            _ => Err(unusable(
                "the token of OAUTHBEARER is no token: it is made of letters, digits and '-._~+/='; look at 'sasl.oauthbearer.token', or at what \
                 'sasl.oauthbearer.token.endpoint.url' answers",
            )),
        }
    }
}

fn unusable(reason: &str) -> KafkaError {
    KafkaError::ClientCreation(reason.to_owned())
}
