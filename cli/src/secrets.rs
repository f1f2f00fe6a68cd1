//! What `secret('name')` stands for: a variable of the environment, a file, or what a command prints, as `[secrets]` of the configuration says.
//!
//! *Promises* that a secret is fetched once per run and only where a job is run; that it is in no message, nor is anything that a command
//! printed beside its complaints; that a command which hangs is killed. *Does not* keep it anywhere, nor fetch it again while the job runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tidemill_terminal::environment;

/// Begins the variable of a secret that `[secrets]` does not name.
const VARIABLE: &str = "TIDEMILL_SECRET_";
/// How long a command may take.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// More than any secret has.
const BYTES_MAX: u64 = 1 << 20;
/// How much of a command's complaints is shown.
const COMPLAINT_CHARS_MAX: usize = 500;

/// The table `[secrets]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct SecretsTable {
    /// A folder with a file for each secret, named as it, for those that are not in the table.
    pub from_folder: Option<PathBuf>,
    /// Where each comes from.
    #[serde(flatten)]
    pub named: BTreeMap<String, Place>,
}

/// Where one secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Place {
    /// A variable of the environment.
    Env(String),
    /// A file, named from the folder of the configuration on.
    File(PathBuf),
    /// A command and its arguments; what it prints is the secret.
    Command(Vec<String>),
}

/// The secrets of one run.
pub struct Secrets<'a> {
    table: &'a SecretsTable,
    /// Where the configuration lies.
    folder: &'a Path,
    known: RefCell<BTreeMap<String, String>>,
}

impl<'a> Secrets<'a> {
    /// Nothing is fetched before it is asked for.
    pub const fn new(table: &'a SecretsTable, folder: &'a Path) -> Self {
        Self {
            table,
            folder,
            known: RefCell::new(BTreeMap::new()),
        }
    }

    /// A secret; or why there is none, and what to do.
    pub fn answer(&self, name: &str) -> Result<String, String> {
        if let Some(known) = self.known.borrow().get(name) {
            return Ok(known.clone());
        }
        let fetched = self.fetch(name)?;
        let secret = fetched.strip_suffix('\n').unwrap_or(&fetched);
        let secret = secret.strip_suffix('\r').unwrap_or(secret).to_owned();
        if secret.is_empty() {
            return Err(format!(
                "the secret '{name}' is empty; look at where it comes from"
            ));
        }
        self.known
            .borrow_mut()
            .insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    fn fetch(&self, name: &str) -> Result<String, String> {
        match self.table.named.get(name) {
            Some(Place::Env(variable)) => environment::variable(variable).ok_or_else(|| {
                format!(
                    "the secret '{name}' is in the variable '{variable}', which is not set; set it"
                )
            }),
            Some(Place::File(path)) => read(name, &self.folder.join(path)),
            Some(Place::Command(command)) => run(command, COMMAND_WAIT_MAX)
                .map_err(|why| format!("the command of the secret '{name}' {why}")),
            None => self.unnamed(name),
        }
    }

    fn unnamed(&self, name: &str) -> Result<String, String> {
        if let Some(folder) = &self.table.from_folder {
            let path = self.folder.join(folder).join(name);
            if path.exists() {
                return read(name, &path);
            }
        }
        let variable: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        let variable = format!("{VARIABLE}{variable}");
        environment::variable(&variable).ok_or_else(|| {
            format!(
                "there is no secret '{name}': set the variable '{variable}', or name a place in [secrets] of the configuration, such as \
                 {name} = {{ file = \"/run/secrets/{name}\" }}"
            )
        })
    }
}

fn read(name: &str, path: &Path) -> Result<String, String> {
    let read = File::open(path).and_then(text_of);
    read.map_err(|error| {
        format!("the secret '{name}' cannot be read from '{}': {error}; look at the file and its rights", path.display())
    })
}

/// All that there is to read, if it is text and not too much.
fn text_of(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let size = from.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if size as u64 > BYTES_MAX {
        let reason = format!("more than {BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// What a command prints; or what was wrong with it, in which nothing stands that it printed but as a complaint.
fn run(command: &[String], wait_max: Duration) -> Result<String, String> {
    let [program, arguments @ ..] = command else {
        return Err("is empty; name a program and its arguments".to_owned());
    };
    let deadline = Instant::now() + wait_max;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("cannot be run: '{program}': {error}; give the path of a program")
        })?;
    // Read beside the wait: a command that prints much would wait for a reader.
    let printed = reading(child.stdout.take());
    let complaint = reading(child.stderr.take());
    let Some(status) = ended(&mut child, deadline).map_err(|error| error.to_string())? else {
        return Err(format!(
            "had not ended after {} s, and was killed; run it by hand",
            wait_max.as_secs()
        ));
    };
    let left = || deadline.saturating_duration_since(Instant::now());
    if !status.success() {
        let complaint = complaint.recv_timeout(left());
        let complaint = complaint.ok().and_then(Result::ok).unwrap_or_default();
        let complaint: String = complaint.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
        return Err(format!("failed ({status}): {complaint}; run it by hand"));
    }
    match printed.recv_timeout(left()) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!(
            "printed what is no secret: {error}; run it by hand"
        )),
        // A process that it left behind may hold its output open for ever.
        Err(_) => Err("has ended, but not its output; run it by hand".to_owned()),
    }
}

fn reading(from: Option<impl Read + Send + 'static>) -> Receiver<io::Result<String>> {
    let (to, text) = channel();
    thread::spawn(move || {
        // Who asked may be gone.
        drop(to.send(from.map_or_else(|| Ok(String::new()), text_of)));
    });
    text
}

/// How a command ended; nothing if it was killed because it did not.
fn ended(child: &mut Child, deadline: Instant) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::{Secrets, SecretsTable, run};

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_secret_comes_from_where_the_table_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mounted")).unwrap();
        std::fs::write(folder.path().join("mounted/db"), "of-the-folder\n").unwrap();
        std::fs::write(folder.path().join("token"), "of-the-file").unwrap();
        let table: SecretsTable = toml::from_str(
            "from-folder = 'mounted'\n\
             kafka = { command = ['sh', '-c', 'echo of-the-command'] }\n\
             token = { file = 'token' }\n\
             home = { env = 'HOME' }\n\
             gone = { env = 'TIDEMILL_NO_SUCH_VARIABLE' }\n\
             empty = { command = ['true'] }",
        )
        .unwrap();
        let secrets = Secrets::new(&table, folder.path());
        let answer = |name| secrets.answer(name);
        assert_eq!(answer("db").as_deref(), Ok("of-the-folder"));
        assert_eq!(answer("token").as_deref(), Ok("of-the-file"));
        assert_eq!(answer("kafka").as_deref(), Ok("of-the-command"));
        assert!(answer("home").is_ok_and(|home| home.starts_with('/')));
        assert!(answer("gone").is_err_and(|said| said.contains("'TIDEMILL_NO_SUCH_VARIABLE'")));
        assert!(answer("empty").is_err_and(|said| said.contains("'empty' is empty")));
        let said = answer("not-there").unwrap_err();
        assert!(said.contains("'TIDEMILL_SECRET_NOT_THERE'"), "{said}");
    }

    #[test]
    fn a_secret_is_fetched_once() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = format!("echo x >> '{}'; echo secret", count.display());
        let mut table = SecretsTable::default();
        let place = super::Place::Command(shell(&script));
        table.named.insert("once".to_owned(), place);
        let secrets = Secrets::new(&table, Path::new(""));
        for _ in 0..3 {
            assert_eq!(secrets.answer("once").as_deref(), Ok("secret"));
        }
        assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
    }

    #[test]
    fn a_command_that_fails_is_told_by_its_complaint_and_never_by_what_it_printed() {
        let ran = |script: &str| run(&shell(script), Duration::from_secs(30));
        let said = ran("echo half-a-secret; echo vault is sealed >&2; exit 3").unwrap_err();
        assert!(
            said.contains("vault is sealed") && !said.contains("half"),
            "{said}"
        );
        let said = ran("printf 'half\\377'").unwrap_err();
        assert!(
            said.contains("no secret") && !said.contains("half"),
            "{said}"
        );
        let said = run(&["/no/such/program".to_owned()], Duration::ZERO).unwrap_err();
        assert!(said.contains("'/no/such/program'"), "{said}");
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let since = Instant::now();
        for script in ["exec sleep 60", "sleep 5 & exit 0"] {
            let said = run(&shell(script), Duration::from_millis(300)).unwrap_err();
            assert!(said.contains("ended"), "{said}");
        }
        assert!(since.elapsed() < Duration::from_secs(60));
    }
}
