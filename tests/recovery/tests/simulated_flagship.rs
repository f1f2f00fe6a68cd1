//! The job that is shipped lives through everything, right to the cent after every epoch.
//!
//! Catches: what the flagship's own shape loses, repeats or tears. Cannot catch another shape's: the random jobs are for those.

use tidemill_tests_kit::sim::scenario::Dangers;
use tidemill_tests_kit::sim::world::World;
use tidemill_tests_recovery::{flagship, seeds};

const EVENTS: u64 = 300;

#[test]
fn the_finance_of_the_studio_is_right_whatever_happens() {
    let name = "the_finance_of_the_studio_is_right_whatever_happens";
    seeds::each(name, 10, |seed| {
        let job = flagship::job(seed, EVENTS)?;
        // The oracle knows how many partitions there are.
        let dangers = Dangers {
            grow: 0,
            ..Dangers::draw(seed)
        };
        let end = World::new(&job, dangers, seed)?.run()?;
        if end.is_refused {
            return Ok(());
        }
        flagship::check(&end.kafka).map_err(|failure| format!("{failure}\n{}", end.notes))
    });
}
