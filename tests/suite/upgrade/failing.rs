//! New processes that do not come to serve: the old one serves on as if nothing had been.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ledger::found_pid;
use super::stream;
use crate::harness::{DEADLINE, Gateway, answer, eventually, feed, gateway, http1, origin, sse};

/// Puts a script in the place of the program.
pub fn replace_program(gateway: &Gateway, script: &str) {
    let new = gateway.folder().join("new");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, gateway.program()).unwrap();
}

/// Waits for the end of an upgrade that fails for this reason, and sees that calls are served.
pub async fn fails(gateway: &Gateway, number: usize, why: &str) {
    gateway.signal(Signal::SIGUSR2);
    eventually("an upgrade that failed", async || gateway.stderr().matches("upgrade failed").count() == number).await;
    let log = gateway.stderr();
    let line = log.lines().rfind(|line| line.contains("upgrade failed")).unwrap();
    assert!(line.contains(why), "{line}");
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    assert_eq!(gateway.ask("GET", "/readyz").await.text(), "ready");
}

/// Speaks as a new process does, until what only one process may have is its own: then it makes a file.
pub const PREPARES: &str = "#!/usr/bin/env python3
import socket, sys, time
channel = socket.socket(fileno=0)
while channel.recv(4096) != b'sockets':
    pass
channel.send(b'prepared')
assert channel.recv(4096) == b'yours'
open(sys.argv[3] + '.yours', 'w').close()
";

/// Whether [`PREPARES`] came to its end since this was last asked.
pub fn was_given_all(gateway: &Gateway) -> bool {
    fs::remove_file(gateway.file().with_extension("yaml.yours")).is_ok()
}

#[tokio::test]
async fn a_new_process_that_fails_hangs_or_has_a_broken_yaml_changes_nothing() {
    let origin = origin().await;
    let events = feed();
    origin.answers_with({
        let events = events.clone();
        move |request| match request.target.as_str() {
            "/stream" => sse().event("first").feed(&events).end(),
            _ => answer(200).body("hello"),
        }
    });
    let plugins = "plugins: [{ usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } } }]";
    let settings = format!("server: {{ upgrade_timeout: 30s }}\n{plugins}");
    let mut gateway = gateway().upstream(&origin).settings(&settings).by_link().start().await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    let mut client = http1(gateway.address()).await;
    let mut streaming = stream(&mut client, "/stream").await;

    gateway.rewrite(format!("{text}nonsense: 1\n"));
    fails(&gateway, 1, "nonsense").await;
    gateway.rewrite(text.replacen(
        "listeners: [",
        &format!("listeners: [{{ address: \"{}\" }}, ", origin.address()),
        1,
    ));
    fails(&gateway, 2, "cannot listen on").await;
    gateway.rewrite(&text);
    replace_program(&gateway, "#!/bin/sh\nexit 3\n");
    fails(&gateway, 3, "it has ended").await;
    replace_program(&gateway, &format!("{PREPARES}sys.exit(1)\n"));
    fails(&gateway, 4, "it has ended").await;
    assert!(was_given_all(&gateway));
    gateway.reload(text.replace("30s", "1s")).await;
    replace_program(&gateway, "#!/bin/sh\nexec sleep 1000\n");
    fails(&gateway, 5, "not ready in time").await;
    // it must come to where it hangs, also on a machine that is busy
    gateway.reload(text.replace("30s", "8s")).await;
    replace_program(&gateway, &format!("{PREPARES}time.sleep(1000)\n"));
    fails(&gateway, 6, "not ready in time").await;
    assert!(was_given_all(&gateway));
    gateway.reload(&text).await;
    fs::remove_file(gateway.program()).unwrap();
    fails(&gateway, 7, "cannot be started").await;

    // and the right one is found where it was, though the file of this process is not the same
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tollgate"), gateway.program()).unwrap();
    let done = gateway.stderr().matches("upgrade failed").count();
    gateway.signal(Signal::SIGUSR2);
    gateway.says("upgrade done").await;
    assert_eq!(gateway.stderr().matches("upgrade failed").count(), done);
    events.send("data: last\n\n");
    events.end();
    assert_eq!(streaming.rest().await, (b"data: last\n\n".to_vec(), true));
    let successor = found_pid(&gateway, 6).await;
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    assert_eq!(gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_second_upgrade_is_refused_while_one_runs_a_reload_waits_and_a_stop_ends_it() {
    let origin = origin().await;
    let mut gateway = gateway().upstream(&origin).by_link().start().await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    replace_program(&gateway, "#!/bin/sh\nexec sleep 1000\n");
    gateway.signal(Signal::SIGUSR2);
    let pid = found_pid(&gateway, 0).await;
    gateway.signal(Signal::SIGUSR2);
    gateway.says("an upgrade is under way already").await;
    gateway.rewrite(text.replace("  - upstream: origin", "  - { paths: [/here/], upstream: origin }"));
    gateway.signal(Signal::SIGHUP);
    gateway.says("the reload waits for the end of the upgrade").await;
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    gateway.says("configuration reloaded").await;
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 404);

    gateway.signal(Signal::SIGUSR2);
    let pid = found_pid(&gateway, 1).await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_gateway_that_drains_after_an_upgrade_is_told_to_stop_twice_before_it_cuts() {
    let origin = origin().await;
    let events = feed();
    origin.answers(sse().event("first").feed(&events).end());
    let mut gateway = gateway().upstream(&origin).start().await;
    let mut client = http1(gateway.address()).await;
    let mut streaming = stream(&mut client, "/stream").await;
    let old = Pid::from_raw(gateway.upgrade().await.cast_signed());
    // systemd tells all processes of a unit to stop
    kill(old, Signal::SIGTERM).unwrap();
    gateway.says("this process drains already").await;
    events.send("data: more\n\n");
    assert_eq!(streaming.until("more\n\n").await, "data: more\n\n");
    kill(old, Signal::SIGTERM).unwrap();
    assert_eq!(streaming.rest().await, (Vec::new(), false));
    gateway.ended(old.as_raw().cast_unsigned()).await;
}

#[tokio::test]
async fn a_broken_file_of_a_plugin_is_found_before_anything_is_given_up() {
    let origin = origin().await;
    origin.answers(answer(200).body("hello"));
    let plugins = "plugins: [{ usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } } }, \
                   { api_keys: { file: keys.yaml, anonymous: pass } }]";
    let keys = "- { name: a, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }\n";
    let builder = gateway().upstream(&origin).settings(plugins).file("keys.yaml", keys);
    let gateway = builder.start().await;
    fs::write(gateway.folder().join("keys.yaml"), "- { name: a }\n").unwrap();
    fails(&gateway, 1, "keys.yaml:1:3").await;
    assert!(!gateway.folder().join("journal/draining").exists(), "the journal was given up");
}
