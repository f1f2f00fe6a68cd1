//! The wall clock of a job's process is wrong, and jumps while it runs: back by hours, ahead by more than a day. The process runs under
//! libfaketime; the machine's clock and the monotonic one stay as they are.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use rand::RngExt;

use super::Impossible;
use crate::job::Clock;
use crate::world::World;

/// Seconds that the clock may be behind: events must not seem a day ahead of it.
const BEHIND_MAX_S: i64 = 6 * 3600;
/// Seconds that it may be ahead.
const AHEAD_MAX_S: i64 = 36 * 3600;

/// Starts a job with a wrong clock, lets it jump, and starts it with the right one.
pub fn strike(world: &mut World) -> Result<()> {
    let Some(library) = library()? else {
        return Err(
            Impossible("libfaketime is not installed; run 'scripts/setup.sh faketime'").into(),
        );
    };
    let number = world.any_job();
    let name = world.jobs[number].name;
    let offset = world.folder.join("clock");
    let clock = Clock { library, offset };
    set(world, number, &clock)?;
    world.jobs[number].clock = Some(clock.clone());
    let started = world.kill_and_start(number);
    // Whatever comes of it, the next process is right again.
    let jumped = started.and_then(|()| jump(world, number, &clock));
    world.jobs[number].clock = None;
    jumped?;
    world.say(format!("the clock of {name} is right again"));
    world.kill_and_start(number)
}

fn jump(world: &mut World, number: usize, clock: &Clock) -> Result<()> {
    let until = Instant::now() + world.seconds(8.0, 20.0);
    while Instant::now() < until {
        let pause = world.seconds(2.0, 6.0);
        world.wait(pause)?;
        set(world, number, clock)?;
    }
    let pause = world.seconds(1.0, 3.0);
    world.wait(pause)
}

/// One time in four it is right.
fn set(world: &mut World, number: usize, clock: &Clock) -> Result<()> {
    let seconds = match world.random.random_range(0..4) {
        0 => 0,
        1 | 2 => -world.random.random_range(1..=BEHIND_MAX_S),
        _ => world.random.random_range(1..=AHEAD_MAX_S),
    };
    // Whole at any time, for who reads it meanwhile.
    let new = clock.offset.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n"))?;
    fs::rename(new, &clock.offset)?;
    let name = world.jobs[number].name;
    world.say(format!("the clock of {name} is wrong by {seconds:+} s"));
    Ok(())
}

/// Where Debian puts it.
fn library() -> Result<Option<PathBuf>> {
    for entry in fs::read_dir("/usr/lib")? {
        let library = entry?.path().join("faketime/libfaketimeMT.so.1");
        if library.is_file() {
            return Ok(Some(library));
        }
    }
    Ok(None)
}
