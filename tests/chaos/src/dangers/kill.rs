//! `kill -9` of a job and the same command again, up to four times in a row: also while it recovers, also with
//! another number of workers.

use anyhow::Result;
use rand::RngExt;

use crate::world::World;

/// Kills one job, or both.
pub fn strike(world: &mut World) -> Result<()> {
    let job = world.any_job();
    let times = world.random.random_range(1..=4);
    for _ in 0..times {
        world.kill_and_start(job)?;
        if world.chance(1, 4) {
            world.kill_and_start(1 - job)?;
        }
        let pause = world.seconds(0.1, 4.0);
        world.wait(pause)?;
    }
    Ok(())
}
