//! Questions over HTTP to a URL that a user gave, for connectors that ask somebody beside the system that they read and write.
//!
//! Promises: a question ends within its time, and an answer has no more bytes than it may; the URL leads only to addresses that the
//! [policy](guard::Policy) allows; no redirect is followed and no proxy is asked, so that credentials go to the host of the URL and nowhere
//! else; they are in no message. Does not ask twice: whoever asks knows what may be asked again, and what an answer means.

pub mod client;
pub mod guard;
pub mod options;
pub mod target;
pub mod tls;

use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

pub use client::{Answer, Client, Failure, Question, Trust};
pub use ureq::http::{HeaderValue, Method, StatusCode, Uri};

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
