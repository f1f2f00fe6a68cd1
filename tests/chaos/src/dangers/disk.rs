//! The disk of a job's state is full for some seconds: it lies on a tmpfs of its own, which a file fills to the last
//! byte.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::Impossible;
use crate::disks::is_own_disk;
use crate::world::World;

/// Fills the disk of a job, and makes room again.
pub fn strike(world: &mut World) -> Result<()> {
    let number = world.any_job();
    let (name, disk) = (
        world.jobs[number].name,
        world.jobs[number].disk().to_owned(),
    );
    if !is_own_disk(&disk)? {
        return Err(Impossible("only root can mount a small disk for the jobs' state").into());
    }
    let ballast = disk.join("ballast");
    let time = world.seconds(2.0, 15.0);
    let kills = world.chance(1, 3);
    let until = Instant::now() + time;
    world.say(format!("the disk of {name} is full"));
    let mut is_killed = false;
    while Instant::now() < until {
        // What the job frees meanwhile is taken too.
        fill(&ballast)?;
        let pause = world.seconds(0.1, 0.3);
        world.wait(pause)?;
        if kills && !is_killed && Instant::now() + time / 2 > until {
            is_killed = true;
            world.kill_and_start(number)?;
        }
    }
    fs::remove_file(&ballast)?;
    world.say(format!("the disk of {name} has room again"));
    Ok(())
}

/// Appends until nothing more fits: first in large pieces, then in small ones.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(ballast)?;
    let zeros = vec![0; 1 << 20];
    for size in [1 << 20, 4 << 10, 1] {
        while file.write_all(&zeros[..size]).is_ok() {}
    }
    Ok(())
}
