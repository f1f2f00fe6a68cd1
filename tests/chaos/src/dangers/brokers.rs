//! A broker, or two of the three, is killed with `kill -9` and started again some seconds later; a job may be killed
//! meanwhile.

use anyhow::Result;
use rand::RngExt;

use crate::cluster::NODES;
use crate::world::World;

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
    for node in away {
        world.say(format!("broker {} starts", node + 1));
        world.cluster.restart(node)?;
    }
    Ok(())
}
