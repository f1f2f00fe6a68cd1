//! Nothing happens for some seconds: what goes wrong in a run of this alone (`CHAOS_ONLY=calm`), no danger has done.

use anyhow::Result;

use crate::world::World;

/// Lets time pass.
pub fn strike(world: &mut World) -> Result<()> {
    let pause = world.seconds(2.0, 8.0);
    world.wait(pause)
}
