//! The commands as somebody types them: what they print, where, and with which exit code they end.

mod load;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Answer, DEADLINE, Folder, Lines, body, eventually, found, gateway, http1, origin};

/// Runs a command to its end.
fn tollgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A command that runs until it is told to stop, at the latest by the end of the test.
struct Running {
    child: Child,
    stdout: Lines,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { stdout: Lines::of(child.stdout.take().unwrap()), child }
    }

    /// The address in the first line that begins with this.
    async fn address(&self, before: &str) -> SocketAddr {
        let line = |line: &String| line.strip_prefix(before).map(|address| address.parse().unwrap());
        found("an address", async || self.stdout.so_far().iter().find_map(line)).await
    }

    async fn interrupt(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).unwrap();
        found("an end", async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A call that a simulator answers without any pause.
async fn ask(address: SocketAddr, max_tokens: u64) -> Answer {
    let mut client = http1(address).await;
    let call = format!(r#"{{"model":"m","max_tokens":{max_tokens},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    let request = client.request("POST", "/v1/messages").header("x-sim-ttft", "0s").header("x-sim-token-gap", "0s");
    client.call(request.body(body(call)).unwrap()).await
}

/// The commands that the demo proposes, each in one line.
fn proposals(told: &str) -> Vec<String> {
    let commands = told.replace("\\\n", " ");
    commands.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect()
}

/// Types a command into a shell, in a folder that has nothing to do with it.
fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A demo on ports of its own, with its ledger in this folder.
fn demo(folder: &Folder) -> Running {
    Running::start(&["demo", "--port", "0", "--admin-port", "0", "--database", &ledger(folder)])
}

fn ledger(folder: &Folder) -> String {
    format!("sqlite://{}/demo.db", folder.path().display())
}

#[tokio::test]
async fn the_demo_answers_what_it_proposes_to_try() {
    let folder = Folder::new();
    let demo = demo(&folder);
    let address = demo.address("listening on ").await;
    let told = found("all it has to say", async || {
        let told = demo.stdout.so_far().join("\n");
        told.contains("Where to look").then_some(told)
    });
    let told = told.await;
    let tries = proposals(&told);
    assert_eq!(tries.len(), 5, "{told}");
    assert!(tries.iter().all(|command| command.contains(&format!(":{}/", address.port()))), "{told}");

    let call = shell(&tries[0]);
    assert!(call.starts_with("HTTP/1.1 200 ") && call.contains("x-simulator: "), "{call}");
    assert!(call.contains(r#""type":"message""#) && call.contains(r#""output_tokens":"#), "{call}");
    let stream = shell(&tries[1]);
    assert!(stream.starts_with("data: {") && stream.trim_end().ends_with("data: [DONE]"), "{stream}");
    let refused = shell(&tries[2]);
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    assert!(refused.contains("max_tokens too high") && refused.contains("4000"), "{refused}");

    for status in ["MISS", "HIT"] {
        let answer = shell(&tries[3]);
        assert!(answer.contains(&format!("x-cache: {status}")) && answer.contains(r#""type":"message""#), "{answer}");
    }
    let batched = shell(&tries[4]);
    assert!(batched.starts_with("HTTP/1.1 200 ") && batched.contains(r#""service_tier":"batch""#), "{batched}");
    eventually("a row for each in the ledger", async || {
        let proposal = told.lines().find(|line| line.contains(" usage -c ")).unwrap();
        let usage = shell(&format!("{proposal} --format csv"));
        ["cached,1,", "completed,4,", "refused,1,"].iter().all(|line| usage.contains(line))
    })
    .await;

    let look = told.lines().find(|line| line.starts_with("Where to look")).unwrap();
    let metrics = look.split_whitespace().find(|word| word.contains("/metrics")).unwrap().trim_end_matches(',');
    assert!(shell(&format!("curl -s {metrics}")).contains("tollgate_requests_total{"));
    let dashboard = told.split_whitespace().find(|word| word.ends_with("/dashboard")).unwrap();
    assert!(shell(&format!("curl -s {dashboard}")).contains("/dashboard/assets/main.js"));
    // and every request has left its line
    eventually("a line for each", async || {
        let rows = demo.stdout.so_far();
        rows.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|row| row["path"].is_string())).count()
            == 6
    })
    .await;
    assert_eq!(demo.interrupt().await, Some(0));
}

#[tokio::test]
async fn the_demos_own_ledger_is_private_and_goes_with_it() {
    let demo = Running::start(&["demo", "--port", "0", "--admin-port", "0"]);
    let told = found("all it has to say", async || {
        let told = demo.stdout.so_far().join("\n");
        told.contains("Where to look").then_some(told)
    });
    let told = told.await;
    let ledger = told.split("sqlite://").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let folder = std::path::Path::new(ledger).parent().unwrap();
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let address = demo.address("listening on ").await;
    assert_eq!(ask(address, 10).await.status, 200);
    // it can be read by whoever copies the line
    let line = told.lines().find(|line| line.contains(" usage -c ")).unwrap();
    eventually("a ledger that can be read", async || {
        Command::new("sh").args(["-c", line]).current_dir("/").output().unwrap().status.success()
    })
    .await;
    assert_eq!(demo.interrupt().await, Some(0));
    assert!(!folder.exists());
}

#[tokio::test]
async fn the_demo_spreads_calls_three_to_two_to_one() {
    let folder = Folder::new();
    let demo = demo(&folder);
    let address = demo.address("listening on ").await;
    let rows = async |n: usize| demo.stdout.so_far().iter().filter(|line| line.starts_with(r#"{"time""#)).count() == n;
    let mut shares = std::collections::BTreeMap::<String, u32>::new();
    for number in 1..=12 {
        let answer = ask(address, 10).await;
        *shares.entry(answer.header("x-simulator").unwrap().to_owned()).or_default() += 1;
        // its server counts it until it has ended, which is when its line is written
        eventually("a row", async || rows(number).await).await;
    }
    let mut shares: Vec<u32> = shares.into_values().collect();
    shares.sort_unstable();
    assert_eq!(shares, [2, 4, 6]);
}

#[test]
fn a_demo_whose_port_is_taken_says_so() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    for (own, others) in [("--port", "--admin-port"), ("--admin-port", "--port")] {
        let folder = Folder::new();
        let output = tollgate(&["demo", own, &port, others, "0", "--database", &ledger(&folder)]);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[tokio::test]
async fn a_simulator_does_as_its_arguments_say() {
    let simulator = Running::start(&["simulate", "--listen", "127.0.0.1:0", "--tokens", "7"]);
    let answer = ask(simulator.address("listening on ").await, 100).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["usage"]["output_tokens"]), (200, &Value::from(7)));

    let failing = ["simulate", "--listen", "127.0.0.1:0", "--error-rate", "1", "--error-status", "503"];
    let simulator = Running::start(&failing);
    assert_eq!(ask(simulator.address("listening on ").await, 100).await.status, 503);

    for wrong in [["--error-rate", "2"], ["--error-status", "200"], ["--listen", "nowhere"], ["--ttft", "soon"]] {
        let output = tollgate(&[&["simulate"], &wrong[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(text(&output.stderr).contains(wrong[0]), "{wrong:?}");
    }
}

const GOOD: &str = "listeners: [{ address: \"127.0.0.1:0\" }]\nupstreams: { a: { servers: [{ address: \"a:1\" }] } }\n\
                    routes: [{ upstream: a }]\n";

#[test]
fn check_tells_good_from_bad_by_its_exit_code() {
    let folder = Folder::new();
    let file = folder.path().join("tollgate.yaml");
    let name = file.to_str().unwrap();
    let check = |yaml: &str| {
        std::fs::write(&file, yaml).unwrap();
        let output = tollgate(&["check", "-c", name]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = check(GOOD);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let (first, second) = stdout.split_once('\n').unwrap();
    assert_eq!(first, format!("{name}: ok"));
    assert!(second.starts_with("memory: at most ") && second.ends_with("MiB)\n"), "{second}");

    let (code, stdout, stderr) = check(&GOOD.replace("upstream: a", "upstream: b, pats: [/]"));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let places: Vec<&str> = stderr.lines().filter(|line| line.starts_with(name)).collect();
    assert_eq!(places.len(), 2, "{stderr}");
    assert!(places.iter().all(|line| line.starts_with(&format!("{name}:3:"))), "{stderr}");
    assert!(stderr.contains("routes: [{ upstream: b, pats: [/] }]"), "the line itself is shown: {stderr}");
    assert!(stderr.contains("`paths`"), "the nearest name is told: {stderr}");

    // a port in use is no mistake of the file
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = GOOD.replace("127.0.0.1:0", &holder.local_addr().unwrap().to_string());
    assert_eq!(check(&taken).0, Some(0));
}

#[test]
fn the_schema_is_json_that_explains_itself() {
    let output = tollgate(&["schema"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    for section in ["server", "log", "access_log", "listeners", "admin", "upstreams", "plugins", "routes"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let told = schema.to_string();
    assert!(told.contains(r#""description""#) && told.contains("408"), "{told}");
}

#[test]
fn a_command_that_makes_no_sense_ends_with_2_and_help() {
    for (arguments, told) in [
        (&[][..], "Usage: tollgate"),
        (&["run"], "--config"),
        (&["check"], "--config"),
        (&["chek"], "check"),
        (&["run", "--confg", "x"], "--config"),
        (&["demo", "--port", "70000"], "70000"),
    ] {
        let output = tollgate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        let output = tollgate(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("tollgate"));
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_1_and_its_name() {
    for command in ["run", "check"] {
        let began = std::time::Instant::now();
        let output = tollgate(&[command, "-c", "no/such/file.yaml"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(text(&output.stderr).contains("no/such/file.yaml"), "{command}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && began.elapsed() < DEADLINE, "{command}");
    }
}

#[tokio::test]
async fn old_names_of_settings_work_and_are_warned_of_once_each_with_their_places() {
    const RENAMED: [(&str, &str); 3] = [
        ("longest", "max_time"),
        ("on_client_gone", "on_client_disconnect"),
        ("on_all_gone", "on_clients_disconnected"),
    ];
    let origin = origin().await;
    let builder = gateway().upstream(&origin).upstream_settings("eject: { longest: 1m }");
    let builder = builder.route_settings("on_client_gone: drain");
    let gateway = builder.settings("plugins: [{ response_cache: { on_all_gone: fill } }]").start().await;
    let old_text = std::fs::read_to_string(gateway.file()).unwrap();
    let new_text = RENAMED.iter().fold(old_text.clone(), |text, (old, new)| text.replace(old, new));
    let check = || {
        let output = tollgate(&["check", "-c", gateway.file().to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = check();
    for (old, new) in RENAMED {
        let warning = format!("`{old}` is now called `{new}`");
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(&warning)).collect();
        let [line] = lines[..] else { panic!("not once: {told}") };
        let place = line.split_once(&format!("{}:", gateway.file().display())).unwrap().1;
        let mut place = place.split(':').map(|number| number.parse::<usize>());
        let (line, column) = (place.next().unwrap().unwrap(), place.next().unwrap().unwrap());
        let at = &old_text.lines().nth(line - 1).unwrap()[column - 1..];
        assert!(at.starts_with(&format!("{old}:")), "{at}");
        gateway.says(&warning).await;
    }
    gateway.rewrite(&new_text);
    assert_eq!(check(), "");
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    gateway.rewrite(&old_text);
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    eventually("a warning at the reload, too", async || gateway.stderr().matches("is now called").count() == 6).await;
}
