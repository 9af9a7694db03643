//! Signals that come while a new process starts: none is lost, and none ends it.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::failing::{fails, replace_program};
use super::ledger::found_pid;
use crate::harness::{DEADLINE, answer, connect, eventually, gate, gateway, http1, origin, sse};

#[tokio::test]
async fn a_signal_to_reopen_logs_or_to_reload_does_not_end_a_gateway_that_still_starts() {
    let origin = origin().await;
    // the file of a header waits until the signal is there
    let settings = "headers: { x-one: \"${file:fifo}\" }";
    let signals =
        "cd \"$(dirname \"$3\")\"; mkfifo fifo; { (exec 3> fifo; kill -USR1 $$; echo value >&3) 1>&- 2>&- & }";
    let mut gateway = gateway().upstream(&origin).upstream_settings(settings).after_shell(signals).start().await;
    origin.answers(answer(200).body("hello"));
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    gateway.says("logs reopened").await;
    assert!(gateway.runs());
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    BySignal,
    ByHttp,
}

#[tokio::test]
async fn a_reload_that_is_asked_for_during_an_upgrade_is_the_new_processs() {
    tokio::join!(reload_during_an_upgrade(Asked::BySignal), reload_during_an_upgrade(Asked::ByHttp));
}

async fn reload_during_an_upgrade(asked: Asked) {
    let origin = origin().await;
    // the first process knows that its server is healthy; the next one waits for a check
    let (checks, hang) = (Arc::new(AtomicUsize::new(0)), gate());
    origin.answers_with({
        let hang = hang.clone();
        move |request| {
            let waits = request.target == "/health" && checks.fetch_add(1, Ordering::Relaxed) == 1;
            if waits { sse().after(&hang).end() } else { answer(200).body("hello") }
        }
    });
    let check = "health_check: { path: /health, interval: 1h, timeout: 10m, initial: unhealthy }";
    let settings = "server: { pid_file: gateway.pid }";
    let mut gateway = gateway().upstream(&origin).upstream_settings(check).settings(settings).by_link().start().await;
    eventually("a gateway that is ready", async || gateway.ask("GET", "/readyz").await.status == 200).await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    let upgrading = async {
        eventually("a check by the new process", async || {
            origin.requests().iter().filter(|request| request.target == "/health").count() > 1
        })
        .await;
    };
    gateway.signal(Signal::SIGUSR2);
    upgrading.await;
    gateway.rewrite(text.replace("  - upstream: origin", "  - { paths: [/here/], upstream: origin }"));
    let mut asking = connect(gateway.admin()).await;
    if asked == Asked::BySignal {
        gateway.signal(Signal::SIGHUP);
        gateway.says("the reload waits for the end of the upgrade").await;
    } else {
        asking.send("POST /reload HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n").await;
        // one task of the same thread reads what has come before this
        assert_eq!(gateway.ask("GET", "/healthz").await.status, 200);
    }
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    let old = gateway.pid();
    hang.open();
    gateway.says("upgrade done").await;
    if asked == Asked::ByHttp {
        assert_eq!(asking.answer().await.status, 503);
    }
    eventually("the new routes", async || http1(gateway.address()).await.get("/").await.status == 404).await;
    gateway.ended(old).await;
    let successor = found_pid(&gateway, 0).await;
    assert_eq!(fs::read_to_string(gateway.folder().join("gateway.pid")).unwrap(), format!("{successor}\n"));
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
}

#[tokio::test]
async fn a_file_has_the_process_id_again_after_an_upgrade_that_fails() {
    let origin = origin().await;
    origin.answers(answer(200).body("hello"));
    let gateway = gateway().upstream(&origin).settings("server: { pid_file: gateway.pid }").by_link().start().await;
    let file = gateway.folder().join("gateway.pid");
    replace_program(&gateway, &format!("#!/bin/sh\necho $$ > {}\nexit 3\n", file.display()));
    fails(&gateway, 1, "it has ended").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", gateway.pid()));
}

#[tokio::test]
async fn a_process_that_was_to_take_over_from_one_that_is_gone_ends() {
    let mut gateway = gateway().upstream(&origin().await).start().await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit(DEADLINE).await.status.code(), Some(0));
    let (gone, channel) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    drop(gone);
    let mut orphan = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    orphan.args(["run", "-c"]).arg(gateway.file()).env("TOLLGATE_PREDECESSOR", "1");
    let mut orphan = orphan.stdin(channel).stderr(Stdio::piped()).spawn().unwrap();
    eventually("its end", async || orphan.try_wait().unwrap().is_some()).await;
    let output = orphan.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("the process to take over from is gone"), "{why}");
}
