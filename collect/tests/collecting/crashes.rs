//! Brokers that are killed, and a collector that is stopped, in the middle of it.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidemill_collect::settings::{Key, Limits, Settings};

use crate::server::{
    Client, Running, create_topic, records, settings, shared, start_broker, values,
};

/// How many clients send at once.
const CLIENTS: usize = 8;
/// How many requests are to be answered well before and after the broker is killed.
const ANSWERED: usize = 200;

/// Posts events of these ids; false if it is told that not all of them may be there.
fn is_taken(client: &mut Client, ids: &[String]) -> bool {
    let events = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#));
    let events: Vec<String> = events.collect();
    let told = client.post("events", &format!("[{}]", events.join(",")));
    assert!(matches!(told.status, 200 | 503), "{told:?}");
    assert!(
        told.status == 200 || told.head.contains("Retry-After"),
        "{told:?}"
    );
    told.status == 200
}

/// Waits until so many more are counted.
#[track_caller]
fn wait_for(count: &AtomicUsize, more: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let until = count.load(Ordering::SeqCst) + more;
    while count.load(Ordering::SeqCst) < until {
        assert!(Instant::now() < deadline, "nothing is answered");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_event_that_was_answered_for_is_there_after_the_broker_was_killed() {
    let broker = start_broker("killed");
    create_topic(&broker, "events", 3, &[]);
    let running = Running::start(Settings {
        limits: Limits {
            kafka_wait_max: Duration::from_secs(2),
            ..Limits::default()
        },
        ..settings(&broker, "events", Key::Member(vec!["id".to_owned()]))
    });
    let good = Mutex::new(BTreeSet::new());
    let (answered, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (running, good, over) = (&running, &good, &over);
            let (answered, failed) = (&answered, &failed);
            scope.spawn(move || {
                let (mut connection, mut requests) = (running.connect(), 0..);
                while !over.load(Ordering::SeqCst) {
                    let request = requests.next().unwrap();
                    let ids: Vec<String> = (0..10)
                        .map(|event| format!("{client}-{request}-{event}"))
                        .collect();
                    if is_taken(&mut connection, &ids) {
                        good.lock().unwrap().extend(ids);
                        answered.fetch_add(1, Ordering::SeqCst);
                    } else {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        wait_for(&answered, ANSWERED);
        broker.script("kill").unwrap();
        wait_for(&failed, CLIENTS);
        broker.script("start").unwrap();
        wait_for(&answered, ANSWERED);
        over.store(true, Ordering::SeqCst);
    });
    running.stop();
    let there: BTreeSet<String> = records(&broker, "events")
        .into_values()
        .map(|(key, _)| key)
        .collect();
    let good = good.into_inner().unwrap();
    let lost: Vec<_> = good.difference(&there).collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        good.len()
    );
    assert!(good.len() >= 2 * ANSWERED * 10);
}

#[test]
fn who_stops_answers_those_who_have_asked_and_hangs_up_on_the_others() {
    create_topic(shared(), "stopped", 1, &[]);
    let running = Running::start(settings(shared(), "stopped", Key::None));
    let mut idle = running.connect();
    assert_eq!(idle.post("stopped", "{}").status, 200);
    let mut asking = running.connect();
    let head = "POST /events/stopped HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    asking.send(format!("{head}{{\"a\":").as_bytes());
    // Whoever is answered now has been accepted after that one.
    assert_eq!(running.post("stopped", "{}").status, 200);
    let address = running.address;
    running.ask_to_stop();
    assert!(idle.is_over());
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "new clients are let in");
    }
    asking.send(b" 1 }");
    let told = asking.answer();
    assert_eq!(told.status, 200, "{told:?}");
    assert!(told.head.contains("Connection: close"), "{told:?}");
    running.stop();
    assert_eq!(values(shared(), "stopped"), ["{}", "{}", r#"{"a": 1 }"#]);
}
