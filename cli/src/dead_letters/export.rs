//! `tidemill dead-letters export`: letters as JSON lines, to be looked at or mended, or the values of their records as files of lines.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tidemill_terminal::Failure;
use tidemill_terminal::show::counted;
use tidemill_types::DeadLetter;

use super::place::Exported;
use super::{Filter, From, Position};

/// What to export, and whereto.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    from: From,
    /// Only these: TOPIC/PARTITION/OFFSET.
    #[arg(value_name = "PLACE")]
    places: Vec<Position>,
    #[command(flatten)]
    filter: Filter,
    /// Write the JSON lines to a file, which must not exist yet; default: standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "values")]
    to: Option<PathBuf>,
    /// Write only the values, as the connector 'files' reads them: DIR/TOPIC/PARTITION.jsonl. A value with a line feed is left out.
    #[arg(long, value_name = "DIR")]
    values: Option<PathBuf>,
}

impl Export {
    /// Exports, and says on standard error how many.
    pub fn execute(&self) -> anyhow::Result<()> {
        let (job, place) = self.from.open()?;
        let mut to: Box<dyn Target> = match (&self.values, &self.to) {
            (Some(folder), _) => Box::new(Values::new(folder)),
            (None, Some(path)) => Box::new(Lines(BufWriter::new(create(path)?))),
            (None, None) => Box::new(Lines(BufWriter::new(io::stdout().lock()))),
        };
        let (mut written, mut left_out) = (0, 0);
        place.read(&job.plan, &mut |letter| {
            if !self.takes(&letter) {
                return Ok(());
            }
            let is_written = to.write(letter)?;
            *(if is_written {
                &mut written
            } else {
                &mut left_out
            }) += 1;
            Ok(())
        })?;
        to.finish()?;
        anstream::eprintln!("{} exported from {place}", counted(written, "dead letter"));
        if left_out > 0 {
            anstream::eprintln!(
                "{} left out: without a value, or with a line feed in it",
                counted(left_out, "record")
            );
        }
        Ok(())
    }

    fn takes(&self, letter: &DeadLetter) -> bool {
        let is_wanted = self.places.is_empty() || self.places.contains(&Position::of(letter));
        is_wanted && self.filter.takes(letter)
    }
}

/// Where letters go.
trait Target {
    /// False if the letter cannot be written there.
    fn write(&mut self, letter: DeadLetter) -> anyhow::Result<bool>;

    fn finish(&mut self) -> anyhow::Result<()>;
}

/// JSON lines.
struct Lines<W: Write>(W);

impl<W: Write> Target for Lines<W> {
    fn write(&mut self, letter: DeadLetter) -> anyhow::Result<bool> {
        serde_json::to_writer(&mut self.0, &Exported::of(letter))?;
        self.0.write_all(b"\n")?;
        Ok(true)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Folders of values.
struct Values {
    folder: PathBuf,
    files: BTreeMap<(String, u32), BufWriter<File>>,
}

impl Values {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        }
    }
}

impl Target for Values {
    fn write(&mut self, letter: DeadLetter) -> anyhow::Result<bool> {
        // The name of a topic is a folder's; that of a later stage need not be.
        let is_folder = !letter.topic.starts_with('.') && !letter.topic.contains(['/', '\\', '\0']);
        let Some(value) = letter
            .bytes
            .filter(|value| is_folder && !value.contains(&b'\n'))
        else {
            return Ok(false);
        };
        let key = (letter.topic, letter.partition);
        if !self.files.contains_key(&key) {
            let folder = self.folder.join(&key.0);
            fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
            let file = create(&folder.join(format!("{}.jsonl", key.1)))?;
            self.files.insert(key.clone(), BufWriter::new(file));
        }
        let file = self.files.get_mut(&key).expect("it was just put there");
        file.write_all(&value)?;
        file.write_all(b"\n")?;
        Ok(true)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.files
            .values_mut()
            .try_for_each(|file| Ok(file.flush()?))
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::invalid(format!(
        "cannot write '{}': {error}; name a place where nothing is yet",
        path.display()
    ))
}
