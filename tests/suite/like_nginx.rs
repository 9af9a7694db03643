//! Step by step as nginx: the same requests, held open and ended in the same order, go to the same servers.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::harness::{Folder, Gateway, Origin, Raw, Script, connect, eventually, gateway, origin, sse};

const WEIGHTS: [u32; 3] = [3, 2, 1];
/// Long enough for every kind of tie to come up many times.
const STEPS: usize = 300;
const MOST_HELD: usize = 40;

/// A single-worker nginx before three servers, on a port of its own.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Nginx {
    async fn before(origins: &[Origin]) -> Self {
        let folder = Folder::new();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.path().display();
        // failures are not what is compared here
        let servers: String = origins
            .iter()
            .zip(WEIGHTS)
            .map(|(origin, weight)| format!("server {} weight={weight} max_fails=0;", origin.server()))
            .collect();
        let configuration = format!(
            "worker_processes 1; daemon off; pid {at}/pid; error_log stderr crit; events {{}}
             http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
             uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; upstream servers {{ least_conn; {servers} }}
             server {{ listen {port}; location / {{ proxy_pass http://servers; proxy_http_version 1.1;
             proxy_buffering off; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdin(Stdio::null());
        let child = command.spawn().expect("nginx runs; `tests/run` installs it");
        eventually("nginx", async || tokio::net::TcpStream::connect(port).await.is_ok()).await;
        Self { child, address: port, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its master takes the worker along
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A stream under way, and where it went.
struct Held {
    client: Raw,
    server: usize,
    request: usize,
}

async fn servers() -> Vec<Origin> {
    let mut servers = Vec::new();
    for _ in WEIGHTS {
        let server = origin().await;
        server.answers(stream());
        servers.push(server);
    }
    servers
}

/// An event at once, then nothing: what counts is that it is under way.
fn stream() -> Script {
    sse().event("here").silence()
}

async fn open(proxy: SocketAddr, servers: &[Origin]) -> Held {
    let counts = || servers.iter().map(Origin::count).collect::<Vec<_>>();
    let before = counts();
    let mut client = connect(proxy).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until("here").await;
    let after = counts();
    let server = (0..servers.len()).find(|at| after[*at] > before[*at]).unwrap();
    Held { client, server, request: before[server] }
}

async fn close(held: Held, servers: &[Origin]) {
    drop(held.client);
    servers[held.server].abandoned(held.request).await;
}

async fn rests_at(gateway: &Gateway, held: usize) {
    eventually("the counts of what is held", async || {
        gateway.metrics().await.sum("tollgate_upstream_in_flight", &[]) as usize == held
    })
    .await;
}

/// A small generator, so that a failure can be repeated.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[tokio::test]
async fn least_conn_takes_the_very_servers_that_nginx_takes() {
    let (ours, theirs) = (servers().await, servers().await);
    let nginx = Nginx::before(&theirs).await;
    let list: Vec<_> = ours
        .iter()
        .zip(WEIGHTS)
        .map(|(origin, weight)| format!("{{ address: \"{}\", weight: {weight} }}", origin.server()))
        .collect();
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams: {{ servers: {{ servers: [{}] }} }}\nroutes: [{{ upstream: servers }}]\n",
        list.join(", ")
    );
    let gateway = gateway().yaml(yaml).start().await;

    let mut draws = Draws(20_261_124);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let mut taken = String::new();
    for step in 0..STEPS {
        // begins more often than it ends, up to a bound
        if here.is_empty() || here.len() < MOST_HELD && draws.below(5) < 3 {
            let (one, other) = (open(gateway.address(), &ours).await, open(nginx.address, &theirs).await);
            taken.push(char::from(b'A' + u8::try_from(other.server).unwrap()));
            assert_eq!(one.server, other.server, "step {step}, after {taken}");
            here.push(one);
            there.push(other);
        } else {
            let at = draws.below(here.len());
            close(here.swap_remove(at), &ours).await;
            close(there.swap_remove(at), &theirs).await;
        }
        rests_at(&gateway, here.len()).await;
    }
}
