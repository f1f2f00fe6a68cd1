//! What happens where somebody else has the port that a broker was to have.

use std::net::TcpListener;

use tidemill_tests_broker::ports::{Start, free_ports, on_free_ports};
use tidemill_tests_broker::{Error, script};

#[test]
fn the_script_says_which_port_is_taken_by_a_code_of_its_own() {
    let folder = std::env::temp_dir().join(format!("tidemill-taken-{}", std::process::id()));
    let other = free_ports(1).unwrap()[0];
    for is_broker in [true, false] {
        let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = somebody.local_addr().unwrap().port();
        let [port, controller] = if is_broker {
            [taken, other]
        } else {
            [other, taken]
        };
        let variables = [
            ("KAFKA_DATA", folder.clone().into()),
            ("KAFKA_PORT", port.to_string().into()),
            ("KAFKA_CONTROLLER_PORT", controller.to_string().into()),
        ];
        let Err(Start::PortTaken(error)) = script("start", &variables) else {
            panic!("somebody else listens there");
        };
        let named = format!("something else listens on port {taken}");
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[test]
fn a_start_is_tried_on_other_ports_only_where_ports_were_taken() {
    let mut seen = Vec::new();
    let started = on_free_ports(2, |ports| {
        seen.push(ports.to_vec());
        if seen.len() < 3 {
            return Err(Start::PortTaken(failure("taken")));
        }
        Ok(ports.to_vec())
    });
    assert_eq!(started.unwrap(), seen[2]);
    assert_ne!(seen[0], seen[1]);

    let mut tries = 0;
    let failed = on_free_ports(1, |_| -> Result<(), _> {
        tries += 1;
        Err(Start::Failed(failure("no Java")))
    });
    assert_eq!(
        failed.unwrap_err().to_string(),
        failure("no Java").to_string()
    );
    assert_eq!(tries, 1);
}

#[test]
fn free_ports_differ_and_lie_where_no_connection_is_given_one() {
    let mut ports = free_ports(9).unwrap();
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let given = given.local_addr().unwrap().port();
    assert!(
        ports.iter().all(|&port| port < 32_768.max(given)),
        "{ports:?}"
    );
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 9);
}

fn failure(words: &str) -> Error {
    Error::Script {
        script: "kafka.sh",
        command: "start".to_owned(),
        words: words.to_owned(),
    }
}
