//! The end of a gateway: asked politely it lets everything finish, told twice it goes at once, and where it cannot begin
//! it says why.

mod start;

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::harness::{
    Authority, Client, DEADLINE, Gate, Gateway, Lines, Origin, Streaming, answer, body, connect, eventually, found,
    gate, gateway, h2c, http1, origin, sse,
};

/// What the gateway may take at most once nothing runs any more.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A gateway, its origin, and as many streams over HTTP/1.1 as over HTTP/2, each of which has had its first event.
struct Streams {
    gateway: Gateway,
    origin: Origin,
    streams: Vec<(Client, Streaming)>,
    last: Gate,
}

async fn streams(settings: &str) -> Streams {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("first").wait(&last).event("last").end());
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let mut streams = Vec::new();
    for number in 0..6 {
        let mut client = if number < 3 { http1(gateway.address()).await } else { h2c(gateway.address()).await };
        let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
        let mut streaming = client.send(request).await.unwrap();
        assert_eq!(streaming.until("\n\n").await, "data: first\n\n");
        streams.push((client, streaming));
    }
    Streams { gateway, origin, streams, last }
}

/// The outcomes in the rows of what a gateway wrote to its standard output.
fn outcomes(stdout: &str) -> Vec<String> {
    let rows = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    rows.map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_stopping_gateway_takes_nothing_new_and_cuts_nothing() {
    let Streams { mut gateway, origin, mut streams, last } = streams("").await;
    let mut idle = connect(gateway.address()).await;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.until("first").await;
    let mut silent = connect(gateway.address()).await;
    eventually("all of them", async || gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 8.0).await;

    gateway.signal(Signal::SIGTERM);
    eventually("one that is not ready", async || gateway.ask("GET", "/readyz").await.status == 503).await;
    eventually("a closed port", async || TcpStream::connect(gateway.address()).await.is_err()).await;
    assert!(silent.to_end().await.is_empty());
    assert!(gateway.runs());
    assert_eq!(gateway.metrics().await.sum("tollgate_requests_in_flight", &[]), 7.0);
    assert_eq!(origin.open_streams(), 7);

    last.open();
    for (_, streaming) in &mut streams {
        assert_eq!(streaming.rest().await, (b"data: last\n\n".to_vec(), true));
    }
    idle.until("0\r\n\r\n").await;
    let ended = Instant::now();
    // all connections are still held by the clients
    let exit = gateway.wait_exit(DEADLINE).await;
    assert!(ended.elapsed() < AT_ONCE, "took {:?} after the last stream", ended.elapsed());
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert_eq!(outcomes(&exit.stdout), ["completed"; 7]);
}

#[tokio::test]
async fn a_call_that_has_no_answer_yet_gets_one() {
    let (origin, wait) = (origin().await, gate());
    origin.answers(sse().after(&wait).event("late").end());
    let mut gateway = gateway().upstream(&origin).start().await;
    let mut one = connect(gateway.address()).await;
    one.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    origin.request(0).await;
    // half of another one's body has come
    let mut other = connect(gateway.address()).await;
    other.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{").await;
    origin.request_head(1).await;

    gateway.signal(Signal::SIGTERM);
    eventually("a closed port", async || TcpStream::connect(gateway.address()).await.is_err()).await;
    other.send("}").await;
    wait.open();
    for raw in [&mut one, &mut other] {
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "data: late\n\n"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(gateway.wait_exit(AT_ONCE).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_gateway_with_nothing_to_do_stops_at_once() {
    let origin = origin().await;
    let mut gateway = gateway().upstream(&origin).start().await;
    let (mut one, mut two) = (http1(gateway.address()).await, h2c(gateway.address()).await);
    let mut raw = connect(gateway.address()).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.answer().await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.get("/").await.status, 200);
    }
    let _silent = connect(gateway.address()).await;
    let mut begun = connect(gateway.address()).await;
    begun.send("GET / HT").await;
    eventually("all of them", async || gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 5.0).await;

    let told = Instant::now();
    gateway.signal(Signal::SIGTERM);
    let exit = gateway.wait_exit(DEADLINE).await;
    assert!(told.elapsed() < AT_ONCE, "took {:?}", told.elapsed());
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert_eq!(outcomes(&exit.stdout), ["completed"; 3]);
}

#[tokio::test]
async fn a_handshake_that_is_not_done_holds_up_no_stop() {
    let own = Authority::new().issue(&["a.test"]);
    let builder = gateway().upstream(&origin().await).file("a.pem", own.certificate).file("a.key", own.key);
    let tls = "0\", tls: { certificates: [{ certificate: a.pem, private_key: a.key }] } }";
    let text = builder.text().replacen("0\" }", tls, 1);
    let mut gateway = builder.yaml(text).start().await;
    let _silent = connect(gateway.address()).await;
    let mut begun = connect(gateway.address()).await;
    begun.send(b"\x16\x03\x01\x02\x00\x01").await;
    eventually("both", async || gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 2.0).await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit(AT_ONCE).await.status.code(), Some(0));
}

/// What a gateway does that cuts: all streams break, every one has its row, and the process ends well.
async fn cuts(mut streams: Streams, told: Instant) {
    let exit = streams.gateway.wait_exit(DEADLINE).await;
    assert!(told.elapsed() < AT_ONCE, "took {:?}", told.elapsed());
    for (_, streaming) in &mut streams.streams {
        assert_eq!(streaming.rest().await, (Vec::new(), false), "a cut stream must not look whole");
    }
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert_eq!(outcomes(&exit.stdout), ["aborted"; 6]);
    streams.origin.all_closed().await;
}

#[tokio::test]
async fn what_runs_longer_than_drain_timeout_is_cut_and_recorded() {
    let streams = streams("server: { drain_timeout: 1s }").await;
    let told = Instant::now();
    streams.gateway.signal(Signal::SIGTERM);
    streams.gateway.says("drain_timeout is up").await;
    let waited = told.elapsed();
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
    cuts(streams, Instant::now()).await;
}

#[tokio::test]
async fn drain_timeout_is_the_one_of_the_last_reload() {
    let streams = streams("server: { drain_timeout: 1h }").await;
    let text = std::fs::read_to_string(streams.gateway.file()).unwrap();
    streams.gateway.reload(text.replace("1h", "100ms")).await;
    streams.gateway.signal(Signal::SIGTERM);
    streams.gateway.says("drain_timeout is up").await;
    cuts(streams, Instant::now()).await;
}

#[tokio::test]
async fn a_second_signal_means_now() {
    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGTERM, Signal::SIGINT),
        (Signal::SIGQUIT, Signal::SIGTERM),
        (Signal::SIGQUIT, Signal::SIGQUIT),
    ] {
        let streams = streams("").await;
        streams.gateway.signal(first);
        eventually("one that drains", async || streams.gateway.ask("GET", "/readyz").await.status == 503).await;
        streams.gateway.signal(second);
        cuts(streams, Instant::now()).await;
    }
}

#[tokio::test]
async fn an_interrupt_means_now() {
    let streams = streams("").await;
    streams.gateway.signal(Signal::SIGINT);
    cuts(streams, Instant::now()).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_up_an_end_that_is_forced() {
    let origin = origin().await;
    origin.answers(answer(200).chunked().repeat(vec![b'x'; 100_000], 1000).end());
    let mut gateway = gateway().upstream(&origin).settings("server: { drain_timeout: 200ms }").start().await;
    let mut raw = connect(gateway.address()).await;
    raw.small_window();
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.head().await;
    gateway.signal(Signal::SIGTERM);
    gateway.says("drain_timeout is up").await;
    let told = Instant::now();
    let exit = gateway.wait_exit(DEADLINE).await;
    assert!(told.elapsed() < AT_ONCE, "took {:?}", told.elapsed());
    assert_eq!((exit.status.code(), outcomes(&exit.stdout)), (Some(0), vec!["aborted".to_owned()]));
}

#[tokio::test]
async fn logs_are_reopened_by_every_signal_that_asks_for_it_also_where_the_yaml_is_broken() {
    let mut streams = streams("access_log: { path: access.log }").await;
    streams.origin.answers(answer(200).body("short"));
    let log = streams.gateway.folder().join("access.log");
    let folder = streams.gateway.folder().to_owned();
    let rotated = |number: u32| folder.join(format!("rotated.{number}"));
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    let text = std::fs::read_to_string(streams.gateway.file()).unwrap();
    let broken = format!("{text}nonsense: 1\n");
    let steps =
        [(Signal::SIGUSR1, &text), (Signal::SIGHUP, &text), (Signal::SIGHUP, &broken), (Signal::SIGUSR1, &broken)];
    for (number, (signal, text)) in (1..).zip(steps) {
        std::fs::write(streams.gateway.file(), text).unwrap();
        std::fs::rename(&log, rotated(number)).unwrap();
        streams.gateway.signal(signal);
        eventually("a new file", async || log.exists()).await;
        assert_eq!(http1(streams.gateway.address()).await.get("/short").await.status, 200);
        eventually("a line in it", async || lines(&log) == 1).await;
    }
    streams.gateway.signal(Signal::SIGQUIT);
    eventually("one that drains", async || streams.gateway.ask("GET", "/readyz").await.status == 503).await;
    for (number, signal) in (5..).zip([Signal::SIGUSR1, Signal::SIGHUP]) {
        std::fs::rename(&log, rotated(number)).unwrap();
        streams.gateway.signal(signal);
        eventually("a new file", async || log.exists()).await;
    }
    streams.gateway.signal(Signal::SIGUSR2);
    streams.gateway.says("USR2 does nothing").await;
    streams.last.open();
    for (_, streaming) in &mut streams.streams {
        assert_eq!(streaming.rest().await, (b"data: last\n\n".to_vec(), true));
    }
    streams.gateway.ended(streams.gateway.pid()).await;
    assert_eq!((1..=6).map(|number| lines(&rotated(number))).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 0]);
    assert_eq!(lines(&log), 6);
}

#[tokio::test]
async fn a_load_balancer_sees_that_a_gateway_is_not_ready_before_its_listeners_close() {
    let mut streams = streams("server: { readiness_delay: 1h }").await;
    let mut kept = http1(streams.gateway.address()).await;
    streams.origin.answers(answer(200).body("short"));
    assert_ne!(kept.get("/").await.header("connection"), Some("close"));
    streams.gateway.signal(Signal::SIGTERM);
    eventually("one that is not ready", async || streams.gateway.ask("GET", "/readyz").await.status == 503).await;
    // whoever still comes is served, and told not to come on this connection again
    assert_eq!(kept.get("/").await.header("connection"), Some("close"));
    assert_eq!(http1(streams.gateway.address()).await.get("/").await.status, 200);
    let told = Instant::now();
    streams.gateway.signal(Signal::SIGTERM);
    let exit = streams.gateway.wait_exit(DEADLINE).await;
    assert!(told.elapsed() < AT_ONCE, "took {:?}", told.elapsed());
    assert_eq!(outcomes(&exit.stdout).iter().filter(|outcome| *outcome == "aborted").count(), 6);

    let mut gateway = gateway().upstream(&streams.origin).settings("server: { readiness_delay: 300ms }").start().await;
    let told = Instant::now();
    gateway.signal(Signal::SIGTERM);
    let exit = gateway.wait_exit(DEADLINE).await;
    assert!(told.elapsed() >= Duration::from_millis(300), "took {:?}", told.elapsed());
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
}

#[tokio::test]
async fn a_file_has_the_process_id_as_long_as_the_gateway_runs() {
    let mut gateway = gateway().upstream(&origin().await).settings("server: { pid_file: gateway.pid }").start().await;
    let file = gateway.folder().join("gateway.pid");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", gateway.pid()));
    gateway.signal(Signal::SIGQUIT);
    assert_eq!(gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
    assert!(!file.exists());
}

#[tokio::test]
async fn a_successor_serves_while_its_predecessor_drains_and_takes_the_admin_address_then() {
    let mut old = streams("").await;
    let (main, admin) = (old.gateway.address(), old.gateway.admin());
    let text = std::fs::read_to_string(old.gateway.file()).unwrap();
    let text = text.replacen("127.0.0.1:0", &main.to_string(), 1).replacen("127.0.0.1:0", &admin.to_string(), 1);
    // one that still serves is no predecessor
    let other = text.replacen(&main.to_string(), "127.0.0.1:0", 1);
    let exit = gateway().yaml(other).start_fails().await;
    assert!(exit.stderr.contains("admin.address: cannot listen on"), "{}", exit.stderr);

    old.gateway.signal(Signal::SIGTERM);
    eventually("a closed port", async || TcpStream::connect(main).await.is_err()).await;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", "-c"])
        .arg({
            let file = old.gateway.folder().join("successor.yaml");
            std::fs::write(&file, text).unwrap();
            file
        })
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, stderr) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
    eventually("a successor that listens", async || stdout.so_far().contains(&format!("listening on {main}"))).await;
    assert!(!stdout.so_far().iter().any(|line| line.starts_with("admin")));
    let mut client = http1(main).await;
    let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
    let mut streaming = client.send(request).await.unwrap();
    streaming.until("\n\n").await;
    assert_eq!(old.gateway.ask("GET", "/readyz").await.text(), "draining", "the old one still answers there");

    old.last.open();
    for (_, streaming) in &mut old.streams {
        assert_eq!(streaming.rest().await, (b"data: last\n\n".to_vec(), true));
    }
    assert_eq!(old.gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
    let line = format!("admin listening on {admin}");
    eventually("the successor's admin listener", async || stdout.so_far().contains(&line)).await;
    assert_eq!(old.gateway.ask("GET", "/readyz").await.text(), "ready");
    assert!(streaming.rest().await.1);
    // which it passes on like any other
    drop(client);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGUSR2).unwrap();
    let line = found("the end of an upgrade", async || {
        let lines = stderr.so_far();
        let failed = lines.iter().find(|line| line.contains("upgrade failed"));
        assert!(failed.is_none(), "{failed:?}");
        lines.into_iter().find(|line| line.contains("upgrade done"))
    });
    let line: serde_json::Value = serde_json::from_str(&line.await).unwrap();
    assert_eq!(old.gateway.ask("GET", "/readyz").await.text(), "ready");
    kill(Pid::from_raw(i32::try_from(line["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_hang_up_while_stopping_is_nothing_to_die_of() {
    let mut streams = streams("").await;
    streams.gateway.signal(Signal::SIGTERM);
    eventually("one that drains", async || streams.gateway.ask("GET", "/readyz").await.status == 503).await;
    streams.gateway.signal(Signal::SIGHUP);
    streams.last.open();
    for (_, streaming) in &mut streams.streams {
        assert_eq!(streaming.rest().await, (b"data: last\n\n".to_vec(), true));
    }
    assert_eq!(streams.gateway.wait_exit(AT_ONCE).await.status.code(), Some(0));
}
