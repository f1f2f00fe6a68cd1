//! A process stands still for longer than its transaction may last, while a second one takes over the job on another
//! state directory; then it goes on. One of the two must end as fenced, and the other must run.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::RngExt;

use crate::process::{End, Process};
use crate::world::World;

/// How long the two may take to find out.
const FENCED_WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Stops a process, starts another, continues the first.
pub fn strike(world: &mut World) -> Result<()> {
    let number = world.any_job();
    let name = world.jobs[number].name;
    let Some(older) = world.jobs[number].process.take() else {
        return Ok(());
    };
    if let Err(ended) = older.signal("STOP") {
        // The watch sees it and starts it again.
        world.jobs[number].process = Some(older);
        return Err(ended);
    }
    // A job whose sources have been shortened cannot begin anew: then the second process has what a crash would have
    // left to it.
    let copied = world.jobs[number].is_shortened || world.chance(2, 3);
    let state = world.jobs[number].other_state(copied)?;
    world.say(format!("SIGSTOP {name}"));
    let pause = world.seconds(0.5, 5.0);
    attend(world, number, pause)?;
    world.jobs[number].workers = world.random.random_range(1..=3);
    let newer = world.jobs[number].start_on(&state, &[])?;
    let what = if copied {
        "a copy of its state"
    } else {
        "no state"
    };
    world.say(format!("a second process of {name} starts, with {what}"));
    // Around the 10 s that a transaction may last, mostly beyond.
    let pause = world.seconds(7.0, 20.0);
    attend(world, number, pause)?;
    older.signal("CONT")?;
    world.say(format!("SIGCONT {name}"));
    if let Some(newer) = outcome(world, number, (older, newer), copied)? {
        return world.jobs[number].move_to_other_state(newer);
    }
    // Nobody uses it any more; one that never began has made none.
    drop(fs::remove_dir_all(state));
    Ok(())
}

/// Waits until one of the two has ended, and returns the newer if it stays.
///
/// With no state it may have been refused (2, 4), where the journal no longer goes back to the beginning.
fn outcome(
    world: &mut World,
    number: usize,
    (mut older, mut newer): (Process, Process),
    copied: bool,
) -> Result<Option<Process>> {
    let name = world.jobs[number].name;
    let since = Instant::now();
    let (mut of_older, mut of_newer) = (None, None);
    while of_older.is_none() && of_newer.is_none() && since.elapsed() < FENCED_WAIT_MAX {
        attend(world, number, LOOK_AGAIN)?;
        (of_older, of_newer) = (older.end()?, newer.end()?);
    }
    let judge = |which: &str, end: &End, is_allowed: bool| {
        let text = format!("the {which} process of {name} {end}");
        if end.is_fenced() || is_allowed {
            Ok(text)
        } else {
            Err(text)
        }
    };
    let found = match (&of_older, &of_newer) {
        (Some(end), None) => judge("older", end, false),
        (None, Some(end)) => {
            let is_refused = !copied && matches!(end.code, Some(2 | 4));
            judge("newer", end, is_refused || end.may_pass())
        }
        (Some(older), Some(newer)) => Err(format!(
            "both processes of {name} ended: the older {older}, the newer {newer}"
        )),
        (None, None) => Err(format!(
            "two processes of {name} run side by side for {FENCED_WAIT_MAX:?}: the older is killed"
        )),
    };
    match found {
        Ok(text) => world.say(text),
        Err(text) => world.fault(text),
    }
    if of_newer.is_some() {
        world.jobs[number].process = Some(older);
        return Ok(None);
    }
    older.kill()?;
    Ok(Some(newer))
}

/// Lets time pass without a look at the job that two processes run.
fn attend(world: &mut World, number: usize, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        world.look_after(Some(number))?;
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
