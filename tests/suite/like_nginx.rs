//! Step by step as nginx: the same requests, held open and ended in the same order, go to the same servers, and the same
//! paths to the same routes.

mod messages;

use std::net::SocketAddr;

use crate::harness::{
    Draws, Gateway, Nginx, Origin, Raw, Script, answer, connect, eventually, gateway, nginx, origin, sse,
};

/// Long enough for every kind of tie to come up many times.
const STEPS: usize = 300;
const MOST_HELD: usize = 40;

/// An nginx before these servers, each with its parameters in nginx's words.
async fn before(rule: &str, servers: &[(&Origin, String)]) -> Nginx {
    let servers: String =
        servers.iter().map(|(origin, settings)| format!("server {} {settings};", origin.server())).collect();
    let upstream = format!("upstream servers {{ {rule} {servers} }}");
    let locations = "location / { proxy_pass http://servers; proxy_http_version 1.1; proxy_buffering off;
         proxy_next_upstream error timeout http_500; proxy_next_upstream_tries 3; }";
    nginx(&upstream, locations).await
}

/// A stream under way, and where it went.
struct Held {
    client: Raw,
    server: usize,
    request: usize,
}

async fn servers(n: usize) -> Vec<Origin> {
    let mut servers = Vec::new();
    for _ in 0..n {
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

async fn idle_at(gateway: &Gateway, held: usize) {
    eventually("the counts of what is held", async || {
        gateway.metrics().await.sum("tollgate_upstream_in_flight", &[]) as usize == held
    })
    .await;
}

/// A gateway before these servers, each with its settings in the YAML's words.
async fn tollgate(rule: &str, servers: &[(&Origin, String)]) -> Gateway {
    let list: Vec<_> = servers
        .iter()
        .map(|(origin, settings)| format!("{{ address: \"{}\", {settings} }}", origin.server()))
        .collect();
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams:\n  servers:\n    \
         balance: {rule}\n    servers: [{}]\n    retry: {{ attempts: 3, on: [error, timeout, http_500] }}\n    \
         eject: {{ on: [500] }}\nroutes: [{{ upstream: servers }}]\n",
        list.join(", ")
    );
    gateway().yaml(yaml).start().await
}

fn with<'o>(origins: &'o [Origin], settings: &[&str]) -> Vec<(&'o Origin, String)> {
    origins.iter().zip(settings).map(|(origin, settings)| (origin, (*settings).to_owned())).collect()
}

#[tokio::test]
async fn least_conn_takes_the_very_servers_that_nginx_takes() {
    let (ours, theirs) = (servers(3).await, servers(3).await);
    // failures are not what is compared here
    let words = ["weight=3 max_fails=0", "weight=2 max_fails=0", "weight=1 max_fails=0"];
    let nginx = before("least_conn;", &with(&theirs, &words)).await;
    let gateway = tollgate("least_conn", &with(&ours, &["weight: 3", "weight: 2", "weight: 1"])).await;

    let mut draws = Draws(20_261_124);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let mut taken = String::new();
    for step in 0..STEPS {
        // begins more often than it ends, up to a bound
        if here.is_empty() || here.len() < MOST_HELD && draws.below(5) < 3 {
            let (one, other) = (open(gateway.address(), &ours).await, open(nginx.address(), &theirs).await);
            taken.push(char::from(b'A' + u8::try_from(other.server).unwrap()));
            assert_eq!(one.server, other.server, "step {step}, after {taken}");
            here.push(one);
            there.push(other);
        } else {
            let at = draws.below(here.len());
            close(here.swap_remove(at), &ours).await;
            close(there.swap_remove(at), &theirs).await;
        }
        idle_at(&gateway, here.len()).await;
    }
}

/// Which servers a request asked, in order, and what became of it.
async fn asked(proxy: SocketAddr, origins: &[Origin], failing: &str) -> (String, Option<Held>) {
    let before: Vec<usize> = origins.iter().map(Origin::count).collect();
    let mut client = connect(proxy).await;
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nx-fail: {failing}\r\n\r\n")).await;
    let head = client.head().await;
    if head.status == 200 {
        client.until("here").await;
    }
    let mut order: Vec<(std::time::Instant, usize, usize)> = Vec::new();
    for (at, origin) in origins.iter().enumerate() {
        for number in before[at]..origin.count() {
            order.push((origin.requests()[number].came, at, number));
        }
    }
    order.sort_unstable();
    let names: String = order.iter().map(|(_, at, _)| char::from(b'A' + u8::try_from(*at).unwrap())).collect();
    let held = order.last().filter(|_| head.status == 200).map(|(_, server, request)| (*server, *request));
    (format!("{names} {}", head.status), held.map(|(server, request)| Held { client, server, request }))
}

/// Pieces of paths, in whose many combinations every rule of nginx comes up.
const PIECES: [&str; 28] = [
    "/",
    "/",
    "/",
    "/",
    ".",
    ".",
    "..",
    "/../",
    "a",
    "v1",
    "/v1/messages",
    "/v1/mess%61ges",
    "health",
    "/health",
    "%2f",
    "%2F",
    "%2e",
    "%2E%2e",
    "%25",
    "%252e",
    "%23",
    "%3F",
    "%5c",
    "\\",
    ";x=1",
    "%00",
    "%",
    "%c3%a9",
];

#[tokio::test]
async fn a_path_is_matched_as_nginx_matches_it() {
    let names = ["exact", "messages", "rest"];
    let mut origins = Vec::new();
    for name in names {
        let server = origin().await;
        server.answers(answer(200).body(name));
        origins.push(server);
    }
    let [exact, messages, rest] = [0, 1, 2].map(|at: usize| origins[at].server());
    let upstreams = names.iter().zip(&origins);
    let upstreams: String = upstreams
        .map(|(name, server)| format!("  {name}: {{ servers: [{{ address: \"{}\" }}] }}\n", server.server()))
        .collect();
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nupstreams:\n{upstreams}routes:\n  \
         - {{ paths: [\"= /health\"], upstream: exact }}\n  - {{ paths: [/v1/messages], upstream: messages }}\n  \
         - {{ upstream: rest }}\n"
    );
    let gateway = gateway().yaml(yaml).start().await;
    let locations = format!(
        "proxy_http_version 1.1; location = /health {{ proxy_pass http://{exact}; }} location /v1/messages {{ proxy_pass http://{messages}; }}
         location / {{ proxy_pass http://{rest}; }} location /uri/ {{ return 200 $uri; }}"
    );
    let nginx = nginx("", &locations).await;
    let mut draws = Draws(20_261_128);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..STEPS * 3 {
        let start = ["/", "/v1/messages", "/health", "/uri/"][draws.below(4)];
        let rest: String = (0..draws.below(7)).map(|_| PIECES[draws.below(PIECES.len())]).collect();
        let path = format!("{start}{rest}");
        let there = status_and_body(nginx.address(), &path).await;
        let normal = tollgate::routes::normalize(&path).ok();
        if let Some(normal) = normal.as_deref().filter(|normal| normal.starts_with("/uri/")) {
            assert_eq!((there.0, there.1.as_str()), (200, normal), "{path}");
        } else {
            let here = status_and_body(gateway.address(), &path).await;
            let there = if there.0 == 200 { there } else { (there.0, String::new()) };
            let here = if here.0 == 200 { here } else { (here.0, String::new()) };
            assert_eq!(here, there, "{path}, which here is {normal:?}");
            *seen.entry(here).or_insert(0) += 1;
        }
    }
    assert!(seen.len() == 4 && seen.values().all(|times| *times > 5), "every kind comes up: {seen:?}");
}

async fn status_and_body(proxy: SocketAddr, path: &str) -> (u16, String) {
    let mut client = connect(proxy).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
    let answer = client.answer().await;
    (answer.status, answer.text())
}

/// Servers fail when a request says so; they lose weight by it and recover, are ejected for good in the end, are full, in
/// reserve or out of service: nginx and the gateway ask the same ones in the same order.
#[tokio::test]
async fn failures_limits_and_backups_lead_to_the_very_servers_that_nginx_takes() {
    for (rule, ours_rule, seed) in
        [("least_conn;", "least_conn", 7), ("", "round_robin", 8), ("least_conn;", "least_conn", 9)]
    {
        let (ours, theirs) = (failing(5).await, failing(5).await);
        let words = [
            "weight=5 max_fails=12 fail_timeout=1000s",
            "weight=3 max_fails=9 fail_timeout=1000s max_conns=9",
            "weight=2 max_fails=0 max_conns=4",
            "weight=9 down",
            "weight=2 max_fails=0 backup",
        ];
        let settings = [
            "weight: 5, max_fails: 12, fail_timeout: 1000s",
            "weight: 3, max_fails: 9, fail_timeout: 1000s, max_conns: 9",
            "weight: 2, max_fails: 0, max_conns: 4",
            "weight: 9, down: true",
            "weight: 2, max_fails: 0, backup: true",
        ];
        let nginx = before(rule, &with(&theirs, &words)).await;
        let gateway = tollgate(ours_rule, &with(&ours, &settings)).await;
        let mut draws = Draws(seed);
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let mut taken = String::new();
        for step in 0..STEPS {
            if here.is_empty() || here.len() < 25 && draws.below(5) < 3 {
                let failing = ["", "", "", "A", "B", "C", "AB", "BC"][draws.below(8)];
                let (one, other) =
                    (asked(gateway.address(), &ours, failing).await, asked(nginx.address(), &theirs, failing).await);
                taken.push_str(&format!("{failing}:{} ", other.0));
                assert_eq!(one.0, other.0, "{ours_rule}, step {step}, after {taken}");
                here.extend(one.1);
                there.extend(other.1);
            } else {
                let at = draws.below(here.len());
                close(here.swap_remove(at), &ours).await;
                close(there.swap_remove(at), &theirs).await;
            }
            idle_at(&gateway, here.len()).await;
        }
        assert!(taken.contains('E'), "the backup had its turn: {taken}");
        assert_eq!(ours[3].count(), 0);
        assert_eq!(gateway.stderr().matches("server ejected").count(), 2, "both that can be");
    }
}

/// Servers `A`, `B`, … that answer 500 to a request that names them.
async fn failing(n: usize) -> Vec<Origin> {
    let servers = servers(n).await;
    for (at, server) in servers.iter().enumerate() {
        let name = b'A' + u8::try_from(at).unwrap();
        server.answers_with(move |request| {
            let told = request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case("x-fail"));
            match told {
                Some((_, names)) if names.contains(&name) => answer(500).body("failed"),
                _ => stream(),
            }
        });
    }
    servers
}
