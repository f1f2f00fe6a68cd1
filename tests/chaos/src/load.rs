//! A thread that publishes until it is told to end, or has published everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Load {
    /// Starts `publish`, which looks at the flag and returns the number of its records.
    #[must_use]
    pub fn start(publish: impl FnOnce(&AtomicBool) -> Result<u64> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(std::thread::spawn(move || publish(&seen))),
        }
    }

    /// True once it publishes no more, whoever ended it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it; returns the number of records that it has published, all of them acknowledged.
    ///
    /// # Errors
    /// Of the load.
    pub fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().ok_or_else(|| anyhow!("it has ended"))?;
        thread.join().map_err(|_| anyhow!("it panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
