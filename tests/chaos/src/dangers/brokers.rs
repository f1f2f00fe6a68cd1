//! A broker, or two of the three, is killed with `kill -9` and started again some seconds later; a job may be killed
//! meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rand::RngExt;

use crate::cluster::NODES;
use crate::world::World;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Kills one broker or two.
pub fn strike(world: &mut World) -> Result<()> {
    let first = world.random.random_range(0..NODES);
    let mut away = vec![first];
    if world.chance(1, 3) {
        away.push((first + world.random.random_range(1..NODES)) % NODES);
    }
    for &node in &away {
        world.cluster.kill(node)?;
        world.say(format!("kill -9 broker {}", node + 1));
    }
    let pause = world.seconds(1.0, 15.0);
    world.wait(pause)?;
    if world.chance(1, 3) {
        let job = world.any_job();
        world.kill_and_start(job)?;
    }
    restart(world, away)
}

/// Starts brokers side by side, and looks after the jobs until they answer.
fn restart(world: &mut World, nodes: Vec<usize>) -> Result<()> {
    let mut starts = Vec::new();
    for node in nodes {
        world.say(format!("broker {} starts", node + 1));
        let cluster = Arc::clone(&world.cluster);
        starts.push(std::thread::spawn(move || cluster.restart(node)));
    }
    while !starts.iter().all(JoinHandle::is_finished) {
        world.wait(LOOK_AGAIN)?;
    }
    for start in starts {
        start
            .join()
            .map_err(|_| anyhow!("the start of a broker panicked"))??;
    }
    Ok(())
}
