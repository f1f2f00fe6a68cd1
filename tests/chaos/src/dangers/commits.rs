//! A commit is cut: the broker commits and the job never hears of it, or the broker never hears of the commit. The
//! connection stays silent for less than a transaction may last, or for more, and is closed then; the job may be
//! killed meanwhile.

use anyhow::Result;
use rand::RngExt;

use crate::proxy::Cut;
use crate::world::World;

/// Cuts up to three commits of whichever job commits next.
pub fn strike(world: &mut World) -> Result<()> {
    let times = world.random.random_range(1..=3);
    for _ in 0..times {
        let cut = if world.chance(2, 3) {
            Cut::Answer
        } else {
            Cut::Request
        };
        let silence = if world.chance(1, 3) {
            world.seconds(9.0, 15.0)
        } else {
            world.seconds(0.0, 3.0)
        };
        let before = world.scissors.cuts();
        world.scissors.arm(cut, silence);
        let pause = silence + world.seconds(0.2, 2.0);
        world.wait(pause)?;
        world.scissors.disarm();
        let what = match (world.scissors.cuts() > before, cut) {
            (false, _) => "no commit came to be cut",
            (true, Cut::Answer) => "a commit's answer was dropped",
            (true, Cut::Request) => "a commit was dropped on its way",
        };
        world.say(format!("{what}, silence of {:.1} s", silence.as_secs_f64()));
        if world.chance(1, 4) {
            let job = world.any_job();
            world.kill_and_start(job)?;
        }
    }
    Ok(())
}
