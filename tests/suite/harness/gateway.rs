//! The gateway as its users run it: the real binary, a YAML file, signals, and what it writes.

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::folder::Folder;
use super::lines::Lines;
use super::metrics::Metrics;
use super::origin::Origin;
use super::raw::{RawAnswer, connect};
use super::wait::{eventually, found};

/// A gateway to be configured and started.
pub fn gateway() -> Builder {
    Builder::default()
}

/// A gateway that does not run yet.
#[derive(Default)]
pub struct Builder {
    yaml: Option<String>,
    servers: Vec<String>,
    upstream: String,
    route: String,
    settings: String,
    files: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
    before: Option<String>,
    link: bool,
    examples: bool,
}

/// Names the YAML file to the test binary when it is started as a gateway.
const FILE: &str = "TOLLGATE_TEST_GATEWAY";

/// Not a test: [`Builder::with_examples`] starts the test binary with it. So these gateways are always as new as the tests, and no
/// other binary is linked for them.
#[test]
#[ignore = "it is a gateway, which tests start"]
fn with_example_plugins() -> ExitCode {
    let arguments = ["tollgate".into(), "run".into(), "-c".into(), std::env::var_os(FILE).expect("the YAML file")];
    tollgate::cli::run(arguments, crate::example_gateway::PLUGINS)
}

impl Builder {
    /// Puts it before this origin too; before a TLS origin with the authority that signed its certificate.
    pub fn upstream(mut self, origin: &Origin) -> Self {
        if let Some(ca) = origin.authority() {
            self = self.file("ca.pem", ca).upstream_settings("tls: { ca: ca.pem }");
        }
        let server = origin.server();
        self.server(server)
    }

    /// Adds a server to the upstream, with its address as the YAML writes it.
    pub fn server(mut self, address: impl Display) -> Self {
        self.servers.push(format!("{{ address: \"{address}\" }}"));
        self
    }

    /// Settings of the upstream, such as `timeouts: { idle: 1s }`.
    pub fn upstream_settings(mut self, yaml: &str) -> Self {
        self.upstream.extend(yaml.lines().map(|line| format!("    {line}\n")));
        self
    }

    /// Settings of the route, such as `on_client_disconnect: drain`.
    pub fn route_settings(mut self, yaml: &str) -> Self {
        self.route.extend(yaml.lines().map(|line| format!("    {line}\n")));
        self
    }

    /// Sections beside `listeners`, `admin`, `upstreams` and `routes`, such as `plugins: [{ max_tokens: { limit: 1 } }]`.
    pub fn settings(mut self, yaml: &str) -> Self {
        self.settings.extend(yaml.lines().map(|line| format!("{line}\n")));
        self
    }

    /// The whole file, in place of all the above.
    pub fn yaml(mut self, yaml: impl Into<String>) -> Self {
        self.yaml = Some(yaml.into());
        self
    }

    /// A file beside the YAML file.
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: impl Display) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Statements that a shell runs in its process before it, such as `ulimit -n 100`.
    pub fn after_shell(mut self, statements: &str) -> Self {
        self.before = Some(statements.to_owned());
        self
    }

    /// Starts it by a link in its folder, [`Gateway::program`], in the place of which a test may put another program.
    pub fn by_link(mut self) -> Self {
        self.link = true;
        self
    }

    /// Has the example plugins too: the gateway is that of `examples/gateway.rs`.
    pub fn with_examples(mut self) -> Self {
        self.examples = true;
        self
    }

    /// The YAML file as it will be written.
    pub fn text(&self) -> String {
        self.yaml.clone().unwrap_or_else(|| {
            let (servers, upstream, route, settings) =
                (self.servers.join(", "), &self.upstream, &self.route, &self.settings);
            format!(
                "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
                 upstreams:\n  origin:\n    servers: [{servers}]\n{upstream}routes:\n  - upstream: origin\n{route}{settings}"
            )
        })
    }

    /// Starts it, and waits until it listens everywhere.
    pub async fn start(self) -> Gateway {
        match self.attempt().await {
            Ok(gateway) => gateway,
            Err(exit) => panic!("the gateway ended at once: {exit:?}"),
        }
    }

    /// Starts it where it cannot start, and tells how it ended.
    pub async fn start_fails(self) -> Exit {
        match self.attempt().await {
            Ok(_) => panic!("the gateway runs, but ought not to"),
            Err(exit) => exit,
        }
    }

    async fn attempt(self) -> Result<Gateway, Exit> {
        let folder = Folder::new();
        for (name, contents) in &self.files {
            fs::write(folder.path().join(name), contents).unwrap();
        }
        let (file, text) = (folder.path().join("tollgate.yaml"), self.text());
        fs::write(&file, &text).unwrap();
        let program =
            if self.examples { std::env::current_exe().unwrap() } else { env!("CARGO_BIN_EXE_tollgate").into() };
        let link = folder.path().join("tollgate");
        let program = if self.link {
            std::os::unix::fs::symlink(&program, &link).unwrap();
            link
        } else {
            program
        };
        let mut command = Command::new(if self.before.is_some() { Path::new("bash") } else { &program });
        if let Some(statements) = &self.before {
            command.args(["-c", &format!("{statements}; exec \"$0\" \"$@\"")]).arg(&program);
        }
        if self.examples {
            let test = concat!(module_path!(), "::with_example_plugins");
            let (_, test) = test.split_once("::").unwrap();
            command.args([test, "--exact", "--ignored", "--test-threads", "2"]).env(FILE, &file);
        } else {
            command.args(["run", "-c"]).arg(&file);
        }
        let mut child = command
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let (addresses, successors) = (Vec::new(), Vec::new());
        let mut gateway = Gateway { child, stdout, stderr, file, addresses, admin: None, successors, folder };
        let (listeners, admin) = promised(&text);
        let exited = found("a gateway that listens, or ends", async || {
            let exited = gateway.child.try_wait().unwrap();
            gateway.read_addresses();
            let ready = gateway.addresses.len() >= listeners && gateway.admin.is_some() == admin;
            (ready || exited.is_some()).then_some(exited)
        });
        match exited.await {
            Some(status) => Err(gateway.exit(status)),
            None => Ok(gateway),
        }
    }
}

/// How many listeners a file asks for, and whether it has an admin listener. Read as text, since the file may be wrong.
fn promised(yaml: &str) -> (usize, bool) {
    let admin = yaml.lines().any(|line| line.starts_with("admin:"));
    let section = yaml.split_once("listeners:").map_or("", |(_, rest)| rest);
    let lines = section.lines().enumerate();
    let own = lines.take_while(|(n, line)| *n == 0 || line.starts_with([' ', '-', ']', '#']) || line.is_empty());
    let listeners = own.map(|(_, line)| line.matches("address:").count()).sum();
    (listeners, admin)
}

/// A running gateway; it ends with the test.
pub struct Gateway {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    file: PathBuf,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    /// The processes that took over, each from the one before.
    successors: Vec<u32>,
    folder: Folder,
}

impl Gateway {
    /// Where its first listener accepts.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where its listeners accept, in the order of the YAML.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where its admin listener accepts.
    pub fn admin(&self) -> SocketAddr {
        self.admin.unwrap()
    }

    /// The number of the process that serves.
    pub fn pid(&self) -> u32 {
        self.successors.last().copied().unwrap_or_else(|| self.child.id())
    }

    /// The link by which it was started.
    pub fn program(&self) -> PathBuf {
        self.folder.path().join("tollgate")
    }

    /// Has a new process take over, and waits until it serves. Returns the number of the one that drains.
    pub async fn upgrade(&mut self) -> u32 {
        let (old, done) = (self.pid(), self.successors.len());
        let failed = self.stderr().matches("upgrade failed").count();
        self.signal(Signal::SIGUSR2);
        let line = found("an upgrade", async || {
            let lines = self.stderr.so_far();
            assert_eq!(
                lines.iter().filter(|line| line.contains("upgrade failed")).count(),
                failed,
                "{}",
                lines.join("\n")
            );
            lines.into_iter().filter(|line| line.contains("upgrade done")).nth(done)
        });
        let line: Value = serde_json::from_str(&line.await).unwrap();
        self.successors.push(u32::try_from(line["pid"].as_u64().unwrap()).unwrap());
        old
    }

    /// Waits until a process has ended.
    pub async fn ended(&mut self, pid: u32) {
        let what = format!("the end of process {pid}");
        if pid == self.child.id() {
            eventually(&what, async || self.child.try_wait().unwrap().is_some()).await;
        } else {
            // nobody here waits for it
            let runs = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
            eventually(&what, async || !runs()).await;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended, and tells how.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Exit {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.exit(status);
            }
            assert!(Instant::now() < end, "the gateway still runs after {deadline:?}:\n{}", self.stderr());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Puts another text in the place of its YAML file; it is read on the next reload.
    pub fn rewrite(&self, yaml: impl AsRef<str>) {
        fs::write(&self.file, yaml.as_ref()).unwrap();
    }

    /// Its YAML file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its YAML file's folder, gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks its admin listener.
    pub async fn ask(&self, method: &str, path: &str) -> RawAnswer {
        let mut admin = connect(self.admin()).await;
        admin
            .send(format!("{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
            .await;
        admin.answer().await
    }

    /// Its metrics now.
    pub async fn metrics(&self) -> Metrics {
        let answer = self.ask("GET", "/metrics").await;
        assert_eq!(answer.status, 200);
        Metrics::parse(&answer.text())
    }

    /// The memory of its process that is in use (resident set), in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The lines of its access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        self.stdout.so_far().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of its access log.
    pub async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        found("a line of the access log", async || self.access_log().into_iter().find(&wanted)).await
    }

    /// What it said of itself so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far().join("\n")
    }

    /// Waits for a line in which it says this of itself.
    pub async fn says(&self, words: &str) -> String {
        let what = format!("a line of the log that says {words:?}");
        found(&what, async || self.stderr.so_far().into_iter().find(|line| line.contains(words))).await
    }

    fn read_addresses(&mut self) {
        let lines = self.stdout.so_far();
        let read = |line: &String, before: &str| line.strip_prefix(before).map(|address| address.parse().unwrap());
        self.addresses = lines.iter().filter_map(|line| read(line, "listening on ")).collect();
        self.admin = lines.iter().find_map(|line| read(line, "admin listening on "));
    }

    fn exit(&mut self, status: ExitStatus) -> Exit {
        Exit { status, stdout: self.stdout.all().join("\n"), stderr: self.stderr.all().join("\n") }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for successor in &self.successors {
            let _ = kill(Pid::from_raw(successor.cast_signed()), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // what it started may still have the other end
            println!("what the gateway said:\n{}", self.stderr());
        }
    }
}

/// How a gateway ended.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// All it wrote to its standard output.
    pub stdout: String,
    /// All it said of itself.
    pub stderr: String,
}
