//! A gateway under systemd, without systemd: what it is told, the sockets that it opens, and the files that are shipped for it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{DEADLINE, Folder, Lines, eventually, found, gateway, http1, origin};

/// What systemd would be told next.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).expect("a message for systemd");
    String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn systemd_is_told_of_start_reload_upgrade_and_stop() {
    let folder = Folder::new();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let builder = gateway().upstream(&origin().await).variable("NOTIFY_SOCKET", path.display());
    let mut gateway = builder.start().await;
    assert_eq!(told(&socket), ["READY=1"]);
    gateway.signal(Signal::SIGHUP);
    let reloading = told(&socket);
    assert_eq!(reloading[0], "RELOADING=1");
    let micros = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(Duration::from_micros(micros.parse().unwrap()) > Duration::ZERO);
    assert_eq!(told(&socket), ["READY=1"]);
    let old = gateway.upgrade().await;
    // the new one says so too, which counts once it is the main process
    assert_eq!(told(&socket), ["READY=1"]);
    assert_eq!(told(&socket), [format!("MAINPID={}", gateway.pid()), "READY=1".into()]);
    gateway.ended(old).await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(told(&socket), ["STOPPING=1"]);
    gateway.ended(gateway.pid()).await;
}

/// Opens two sockets as systemd does, and becomes the gateway.
const ACTIVATE: &str = "import os, socket, sys
sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
print(*(socket.getsockname()[1] for socket in sockets), flush=True)
text = open(sys.argv[2]).read()
for socket in sockets:
    text = text.replace('127.0.0.1:0', '127.0.0.1:%d' % socket.getsockname()[1], 1)
open(sys.argv[2], 'w').write(text)
held = [os.dup(socket.fileno()) for socket in sockets]
for number, fd in enumerate(held):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2')
os.execv(sys.argv[1], [sys.argv[1], 'run', '-c', sys.argv[2]])";

#[tokio::test]
async fn sockets_that_systemd_opened_are_served_and_need_no_free_address() {
    let folder = Folder::new();
    let file = folder.path().join("tollgate.yaml");
    let origin = origin().await;
    fs::write(&file, gateway().upstream(&origin).text()).unwrap();
    let mut child = Command::new("python3")
        .args(["-c", ACTIVATE, env!("CARGO_BIN_EXE_tollgate")])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = Lines::of(child.stdout.take().unwrap());
    let ports = found("the ports", async || stdout.so_far().first().cloned()).await;
    let (main, admin) = ports.split_once(' ').unwrap();
    let line = format!("admin listening on 127.0.0.1:{admin}");
    eventually("a gateway that listens", async || stdout.so_far().contains(&line)).await;
    assert!(stdout.so_far().contains(&format!("listening on 127.0.0.1:{main}")));
    assert_eq!(http1(format!("127.0.0.1:{main}").parse().unwrap()).await.get("/").await.status, 200);
    assert_eq!(http1(format!("127.0.0.1:{admin}").parse().unwrap()).await.get("/healthz").await.status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
