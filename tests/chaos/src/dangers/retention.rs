//! Retention takes what the oldest checkpoint has behind it, all of it or a part; the oracles get a copy first. The
//! job may be killed afterwards.

use std::collections::BTreeMap;

use anyhow::Result;
use rand::RngExt;

use crate::topics::delete_records;
use crate::world::World;

/// Deletes the beginnings of source topics.
pub fn strike(world: &mut World) -> Result<()> {
    let number = world.any_job();
    let name = world.jobs[number].name;
    let Some(positions) = world.jobs[number].oldest_positions() else {
        world.say(format!(
            "{name} has no checkpoint that retention could stay behind"
        ));
        return Ok(());
    };
    let takes_all = world.chance(1, 2);
    let mut by_topic: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
    for (topic, partition, end) in positions.into_iter().filter(|&(_, _, end)| end > 0) {
        let before = if takes_all {
            end
        } else {
            world.random.random_range(0..=end)
        };
        by_topic.entry(topic).or_default().push((partition, before));
    }
    let mut records = 0;
    for (topic, before) in &by_topic {
        world.mirror.keep(topic, before)?;
        // Before the first is gone: should it fail half-way, some are.
        world.jobs[number].is_shortened = true;
        delete_records(&world.bootstrap, topic, before)?;
        records += before.iter().map(|(_, offset)| offset).sum::<i64>();
    }
    world.say(format!(
        "retention has taken {records} records of {name}'s sources, counted from their beginning"
    ));
    if world.chance(1, 2) {
        world.kill_and_start(number)?;
    }
    Ok(())
}
