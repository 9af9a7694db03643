//! A log that nobody reads holds up nothing: neither the gateway's own nor the one of its requests.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::harness::{http1, refusing};

/// Dies with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a pipe holds is a fraction of what these requests have to say.
const REQUESTS: usize = 1000;

#[tokio::test]
async fn a_gateway_whose_logs_nobody_reads_serves_on() {
    let nowhere = refusing();
    let folder = std::env::temp_dir().join(format!("tollgate-unread-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("gateway.yaml");
    let upstreams = format!("upstreams: {{ nowhere: {{ servers: [{{ address: \"{}\" }}] }} }}", nowhere.address());
    std::fs::write(
        &file,
        format!("listeners: [{{ address: 127.0.0.1:0 }}]\n{upstreams}\nroutes: [{{ upstream: nowhere }}]\n"),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["run", "-c"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut gateway = Running(command.spawn().unwrap());
    // the first line is read and no other, on neither pipe
    let mut told = String::new();
    let mut stdout = BufReader::with_capacity(64, gateway.0.stdout.take().unwrap());
    stdout.read_line(&mut told).unwrap();
    let address: SocketAddr = told.trim().strip_prefix("listening on ").unwrap().parse().unwrap();

    for number in 0..REQUESTS {
        assert_eq!(http1(address).await.get("/").await.status, 502, "request {number}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
