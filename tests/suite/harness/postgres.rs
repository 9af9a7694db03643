//! A Postgres server of a test's own, on the loopback, that the test may stop, freeze, kill and start again.
//! Asks it through `psql`, as an operator does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::folder::Folder;
use super::port::free_port;
use super::wait::eventually;

/// A server that runs, with an empty database `ledger`.
pub async fn postgres() -> Postgres {
    let mut server = Postgres::prepared();
    server.start().await;
    server.sql_in("postgres", "CREATE DATABASE ledger");
    server
}

/// A server with its own data; both go with it.
pub struct Postgres {
    folder: Folder,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Postgres {
    /// One that does not run yet and has no database of its own yet.
    pub fn prepared() -> Self {
        let folder = Folder::new();
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-r").arg(template()).arg(&data));
        give_to_server(folder.path());
        let port = free_port();
        Self { folder, port, settings: Vec::new(), child: None }
    }

    /// Its database's address for the YAML.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/ledger", self.port)
    }

    /// Where it listens, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A setting for the next start, such as `max_connections=5`.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&mut self) {
        let mut command = as_server(program("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        // What reached the system survives any death of the server's processes; no test pulls the plug.
        let kept = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=32MB", "max_connections=40"];
        let loaded = ["shared_preload_libraries=pg_stat_statements"];
        for setting in kept.iter().chain(&loaded).copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        eventually("a PostgreSQL server that answers", async || {
            assert!(self.runs(), "the server ended at once:\n{}", self.log());
            self.ask("postgres", "SELECT 1").is_ok()
        })
        .await;
    }

    /// Stops it as an operator does who does not wait for clients.
    pub fn stop(&mut self) {
        self.end(Signal::SIGINT);
    }

    /// Kills it with everything that it started.
    pub fn kill(&mut self) {
        for process in self.processes() {
            let _ = kill(process, Signal::SIGKILL);
        }
        self.end(Signal::SIGKILL);
    }

    /// Freezes it: it takes connections, and says nothing.
    pub fn freeze(&self) {
        for process in self.processes() {
            let _ = kill(process, Signal::SIGSTOP);
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        for process in self.processes() {
            let _ = kill(process, Signal::SIGCONT);
        }
    }

    /// What statements return in the database `ledger`: lines of columns with `|` between.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in("ledger", statements)
    }

    /// What statements return in a database.
    #[track_caller]
    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        self.ask(database, statements).unwrap_or_else(|error| panic!("{error}\nof\n{statements}"))
    }

    /// What statements return, or what the server says against them.
    pub fn ask(&self, database: &str, statements: &str) -> Result<String, String> {
        let Output { status, stdout, stderr } = self.psql(database).args(["-c", statements]).output().unwrap();
        if status.success() {
            Ok(String::from_utf8(stdout).unwrap().trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&stderr).into_owned())
        }
    }

    /// A connection that somebody holds and does nothing with.
    pub fn hold(&self) -> Holding {
        self.hold_open("SELECT 1")
    }

    /// A transaction that somebody began with these statements and does not end.
    pub fn hold_open(&self, statements: &str) -> Holding {
        let mut psql = self.psql("ledger");
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let input = child.stdin.as_mut().unwrap();
        writeln!(input, "BEGIN; {statements};\n\\echo held").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"), "a transaction of `{statements}`");
        Holding(child)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn psql(&self, database: &str) -> Command {
        psql(self.port, database)
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The server, and the processes that it started.
    fn processes(&self) -> Vec<Pid> {
        let Some(child) = &self.child else { return Vec::new() };
        let server = child.id();
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(server.cast_signed()).chain(children).map(Pid::from_raw).collect()
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        child.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("what the server said:\n{}", self.log());
        }
        self.kill();
    }
}

/// A connection in use, until it is dropped.
pub struct Holding(Child);

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fresh data folder to copy: making one takes seconds.
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let initdb = program("initdb");
    let version = initdb.iter().rev().nth(2).unwrap().to_string_lossy().into_owned();
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{version}"));
    if !template.exists() {
        let folder = Folder::new();
        if let Some((user, group)) = server_user() {
            run(Command::new("chown").arg(format!("{user}:{group}")).arg(folder.path()));
        }
        let data = folder.path().join("data");
        run(as_server(initdb).args(["-A", "trust", "-N", "-E", "UTF8", "--locale=C", "-U", "postgres"]).arg(&data));
        let made = template.with_extension(format!("new-{}", std::process::id()));
        run(Command::new("cp").arg("-r").arg(&data).arg(&made));
        // Another process may have been quicker: then this one is of no use.
        if fs::rename(&made, &template).is_err() {
            let _ = fs::remove_dir_all(&made);
        }
    }
    template
}

/// A program of the newest server that is installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed").flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists());
    programs.max().expect("PostgreSQL's server is not installed")
}

/// A server does not run as root: the user and group that it runs as, where the test is root.
fn server_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user `postgres`");
    let numbers: Vec<u32> = line.split(':').skip(2).take(2).map(|number| number.parse().unwrap()).collect();
    Some((numbers[0], numbers[1]))
}

/// Gives a folder to the user that servers run as.
pub(super) fn give_to_server(folder: &Path) {
    if let Some((user, group)) = server_user() {
        run(Command::new("chown").arg("-R").arg(format!("{user}:{group}")).arg(folder));
    }
}

/// An operator's client.
pub(super) fn psql(port: u16, database: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
    psql.args(["-p", &port.to_string(), "-d", database]);
    psql
}

pub(super) fn as_server(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
