//! What happens, as it happens: a line with the time since the start, on standard output and in a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

/// Where news go.
pub struct News {
    started: Instant,
    file: File,
}

impl News {
    /// Opens the file `events.log` in a folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            started: Instant::now(),
            file: File::create(folder.join("events.log"))?,
        })
    }

    /// Tells something.
    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            let line = format!("[{:6.1} s] {line}", self.started.elapsed().as_secs_f64());
            println!("{line}");
            // What is told is not lost when the file cannot be written.
            drop(writeln!(self.file, "{line}"));
        }
    }
}
