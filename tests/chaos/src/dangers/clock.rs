//! The wall clock of a job's process is wrong, and jumps while it runs: back by hours, ahead by more than a day. The
//! process runs under
//! `wrong_clock.c`; the machine's clock and the monotonic one stay as they are.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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
    let Some(library) = library(&world.folder)? else {
        return Err(Impossible("there is no C compiler 'cc' to build a wrong clock with").into());
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
    // In place, since the process has mapped it, and never shorter than what it reads.
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&clock.offset)?;
    file.write_all_at(&seconds.to_ne_bytes(), 0)?;
    let name = world.jobs[number].name;
    world.say(format!("the clock of {name} is wrong by {seconds:+} s"));
    Ok(())
}

/// Builds the library, once a run; none where nothing can build it.
fn library(folder: &Path) -> Result<Option<PathBuf>> {
    let (source, library) = (folder.join("wrong_clock.c"), folder.join("wrong_clock.so"));
    if !library.is_file() {
        fs::write(&source, include_str!("../../wrong_clock.c"))?;
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
    }
    Ok(Some(library))
}
