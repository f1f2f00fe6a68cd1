//! The script that starts a Redis ends it, too; and what the server took it has after a `kill -9`.
//!
//! Needs `scripts/setup.sh redis`.

use std::io::{Read, Write};
use std::net::TcpStream;

use tidemill_tests_broker::redis::{PASSWORD, Redis};

/// What the server answers to a command, after a login.
fn ask(redis: &Redis, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))?;
    write!(stream, "AUTH \"{PASSWORD}\"\r\n{command}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_server_is_there_until_it_is_stopped_or_killed_and_has_what_it_took() {
    let redis = Redis::start().unwrap();
    assert_eq!(
        ask(&redis, "SET film Sunrise").unwrap(),
        "+OK\r\n".repeat(3)
    );
    redis.kill().unwrap();
    assert!(ask(&redis, "GET film").is_err());
    redis.start_again().unwrap();
    assert!(ask(&redis, "GET film").unwrap().contains("Sunrise"));
    redis.stop().unwrap();
    assert!(ask(&redis, "GET film").is_err());
}
