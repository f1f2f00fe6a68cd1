//! The script that starts a PostgreSQL ends it, too: when it is told to, and when nobody is there any more who could.

use std::net::TcpStream;

use tidemill_tests_broker::postgres::Postgres;

fn listens(postgres: &Postgres) -> bool {
    TcpStream::connect(("127.0.0.1", postgres.port())).is_ok()
}

#[test]
fn a_server_is_there_until_it_is_stopped_or_killed_and_comes_back_at_its_place() {
    let postgres = Postgres::start(None).unwrap();
    assert!(listens(&postgres));
    postgres.kill().unwrap();
    assert!(!listens(&postgres));
    postgres.start_again().unwrap();
    assert!(listens(&postgres));
    postgres.stop().unwrap();
    assert!(!listens(&postgres));
}
