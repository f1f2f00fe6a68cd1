//! A source topic gets another partition, and a job that is started afterwards reads it. The load of the second job
//! writes into it, so that keys move from partition to partition; that of the studio does not, and its partition
//! stays empty.

use std::sync::atomic::Ordering;

use anyhow::Result;
use rand::RngExt;

use crate::topics::add_partitions;
use crate::world::World;
use crate::{every_stage, studio};

/// Beyond this a topic gets no more of them.
const PARTITIONS_MAX: u32 = 8;

/// Adds a partition, and starts the job again.
pub fn strike(world: &mut World) -> Result<()> {
    if world.chance(1, 4) {
        let topics = &world.jobs[studio::JOB].sources;
        let topic = topics[world.random.random_range(0..topics.len())].1.clone();
        // One more than there were at first: asked for again, it is there already.
        let count = studio::PARTITIONS + 1;
        return match add_partitions(&world.bootstrap, &topic, count) {
            Ok(()) => {
                world.say(format!("{topic} has {count} partitions now"));
                settle(world, studio::JOB)
            }
            Err(refused) => {
                world.say(format!("{refused:#}"));
                Ok(())
            }
        };
    }
    let count = world.partitions.load(Ordering::SeqCst) + 1;
    if count > PARTITIONS_MAX {
        world.say(format!("there are {PARTITIONS_MAX} partitions already"));
        return Ok(());
    }
    for topic in every_stage::TOPICS {
        add_partitions(&world.bootstrap, topic, count)?;
        world.say(format!("{topic} has {count} partitions now"));
    }
    // The job may start before the first record is there, or after.
    if world.chance(1, 2) {
        world.partitions.store(count, Ordering::SeqCst);
    }
    settle(world, every_stage::JOB)?;
    world.partitions.store(count, Ordering::SeqCst);
    Ok(())
}

/// A job reads the partitions that were there when it started.
fn settle(world: &mut World, job: usize) -> Result<()> {
    let pause = world.seconds(0.5, 4.0);
    world.wait(pause)?;
    world.kill_and_start(job)
}
