//! The readers and the receiver of `tests/export`, in the Python that `tests/run` installs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Folder, Postgres};

fn python(script: &str) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/sdk/current/bin/python3"));
    command.arg(root.join("tests/export").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// How many rows the files of a folder have, if these are the rows of a database; else what differs.
pub fn compare(folder: &Path, rows: &Path) -> Result<usize, String> {
    let output = python("compare.py").arg(folder).arg(rows).output().expect("tests/run installs the SDKs' Python");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(out.trim().parse().unwrap());
    }
    // what a test that waits in vain shows
    println!("{}", error.lines().last().unwrap_or_default());
    Err(error.into_owned())
}

/// Writes the rows of a Postgres to a file, as `compare` wants them.
pub fn dump(server: &Postgres, into: &Path) {
    let columns = server.sql_in(
        "ledger",
        "SELECT column_name, data_type FROM information_schema.columns
         WHERE table_name = 'api_requests' AND is_generated = 'NEVER' ORDER BY ordinal_position",
    );
    let shown = columns.lines().map(|line| {
        let (name, sql) = line.split_once('|').unwrap();
        let value = match sql {
            "bytea" => format!("encode({name}, 'hex')"),
            "numeric" => format!("({name} * 1000000000000)::numeric(38, 0)::text"),
            "inet" => format!("host({name})"),
            sql if sql.starts_with("timestamp") => {
                format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
            }
            _ => format!("\"{name}\"::text"),
        };
        format!("{value} AS \"{name}\"")
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    fs::write(
        into,
        server.sql_in("ledger", &format!("SELECT row_to_json(r) FROM (SELECT {shown} FROM api_requests) AS r")),
    )
    .unwrap();
}

/// A receiver of `CloudEvents`, a process of its own that a test may freeze, kill and start again.
pub struct Receiver {
    folder: Folder,
    address: SocketAddr,
    child: Option<Child>,
}

impl Receiver {
    pub fn start() -> Self {
        let mut receiver = Self { folder: Folder::new(), address: SocketAddr::from(([127, 0, 0, 1], 0)), child: None };
        receiver.start_again();
        receiver
    }

    /// Starts it again at its address, with what it has.
    pub fn start_again(&mut self) {
        let mut child = python("receiver.py")
            .args(["--port", &self.address.port().to_string(), "--out"])
            .arg(self.file("events"))
            .arg("--says")
            .arg(self.file("says"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run installs the SDKs' Python");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");
        self.address = address.parse().unwrap();
        self.child = Some(child);
    }

    pub fn url(&self) -> String {
        format!("http://{}/usage", self.address)
    }

    /// What it answers from now on, in place of taking events: a status, and a text by which it knows the events that it refuses.
    pub fn says(&self, answer: &str) {
        fs::write(self.file("says"), answer).unwrap();
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }

    /// The events that it took, in order, those too that came more than once.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("events")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}
