//! A server of tokens, which gives everybody who knows its secret a token that the broker takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// With a character that has to be coded.
pub const CLIENT_SECRET: &str = "of the/client";

/// The server. It ends with this process.
pub struct Tokens {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tokens {
    /// Whose tokens count for so long.
    pub fn lasting(lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let bodies = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let bodies = Arc::clone(&bodies);
                thread::spawn(move || serve(&stream.unwrap(), lifetime, &bodies));
            }
        });
        Self { port, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// The bodies of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, lifetime: Duration, bodies: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut is_known) = (0, false);
        let pair = format!(
            "the%20job:{}",
            CLIENT_SECRET.replace(' ', "%20").replace('/', "%2F")
        );
        let expected = format!("authorization: basic {}", STANDARD.encode(pair));
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim();
            if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                length = text.parse().unwrap();
            }
            is_known |= line.to_lowercase() == expected.to_lowercase();
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        bodies
            .lock()
            .unwrap()
            .push(String::from_utf8(body).unwrap());
        let (status, answer) = if is_known {
            (
                "200 OK",
                format!(
                    r#"{{"access_token":"{}","expires_in":{}}}"#,
                    token(lifetime),
                    lifetime.as_secs()
                ),
            )
        } else {
            (
                "401 Unauthorized",
                r#"{"error":"invalid_client"}"#.to_owned(),
            )
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One without signature, which a broker without a validator of its own takes.
#[expect(
    clippy::disallowed_methods,
    reason = "a token says until when it counts"
)]
fn token(lifetime: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = format!(
        r#"{{"sub":"job","iat":{now},"exp":{}}}"#,
        now + lifetime.as_secs()
    );
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}
