//! What nginx refuses, a gateway with what was imported refuses too, and what it lets through goes where nginx sends it: for
//! configurations and requests at random.

mod random;

use std::fs;
use std::net::SocketAddr;

use crate::harness::{Draws, Folder, Origin, RawAnswer, answer, connect, gateway, nginx_of, origin};

/// Configurations of a run; a longer one is asked for by `IMPORT_CONFIGURATIONS`, from `IMPORT_SEED` on.
const CONFIGURATIONS: u64 = 25;
const SEED: u64 = 20_261_129;
const REQUESTS: usize = 40;
const PASSWORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx/users.htpasswd");

/// What became of requests.
#[derive(Debug, Default)]
struct Counts {
    let_through: usize,
    refused_by_both: usize,
    refused_only_here: usize,
}

#[tokio::test]
async fn what_nginx_refuses_is_never_let_through() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let first = number("IMPORT_SEED", SEED);
    let servers = [named("one").await, named("two").await];
    let mut counts = Counts::default();
    for seed in first..first + number("IMPORT_CONFIGURATIONS", CONFIGURATIONS) {
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = random::configuration(&mut draws);
        if let Err(why) = compare(&mut draws, &text, &servers, &mut counts).await {
            panic!("IMPORT_SEED={seed}: {why}\n{text}");
        }
    }
    eprintln!("{counts:?}");
    // a gateway that refuses everything proves nothing
    assert!(counts.let_through > counts.refused_only_here / 4 && counts.refused_by_both > 0, "{counts:?}");
}

async fn named(name: &'static str) -> Origin {
    let server = origin().await;
    server.answers_with(move |request| answer(200).body(format!("{name} {} {}", request.method, request.target)));
    server
}

async fn compare(draws: &mut Draws, text: &str, servers: &[Origin; 2], counts: &mut Counts) -> Result<(), String> {
    let mut text = text.to_owned();
    for (at, server) in servers.iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:{}", 9001 + at), &server.server());
    }
    let folder = || {
        let folder = Folder::new();
        fs::copy(PASSWORDS, folder.path().join("users.htpasswd")).unwrap();
        folder
    };
    let theirs = nginx_of(folder(), |port, _| text.replace("listen 80", &format!("listen 127.0.0.1:{port}"))).await;

    let source = folder();
    fs::write(source.path().join("nginx.conf"), &text).unwrap();
    let (code, yaml, stderr) = super::import(source.path(), "nginx.conf");
    assert!(matches!(code, Some(0 | 2)), "{stderr}\n{text}");
    let yaml = yaml.replace("0.0.0.0:80", "127.0.0.1:0") + "admin: { address: \"127.0.0.1:0\" }\n";
    let ours = gateway().yaml(yaml.clone()).file("users.htpasswd", fs::read(PASSWORDS).unwrap()).start().await;

    for _ in 0..REQUESTS {
        let request = random::request(draws);
        let there = ask(theirs.address(), &request).await;
        let here = ask(ours.address(), &request).await;
        let is_let_through = |answer: &RawAnswer| (200..300).contains(&answer.status);
        match (is_let_through(&here), is_let_through(&there)) {
            (true, true) if heard(&here) == heard(&there) => counts.let_through += 1,
            (false, false) => counts.refused_by_both += 1,
            (false, true) => counts.refused_only_here += 1,
            _ => {
                let told = |answer: &RawAnswer| format!("{} {}", answer.status, answer.text());
                return Err(format!("{request}\nnginx: {}\ntollgate: {}\n{yaml}", told(&there), told(&here)));
            }
        }
    }
    Ok(())
}

/// What a client is told, with the path that a server was asked in its normal form, because nginx writes a path anew where `proxy_pass` has
/// one.
fn heard(answer: &RawAnswer) -> String {
    let text = answer.text();
    match text.split_once(" /") {
        Some((server, target)) => {
            let target = format!("/{target}");
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let path = tollgate::routes::normalize(path).unwrap_or(path.into());
            format!("{server} {path} {query}")
        }
        None => text,
    }
}

async fn ask(proxy: SocketAddr, request: &str) -> RawAnswer {
    let mut client = connect(proxy).await;
    let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
    let headers = headers.replace('\n', "\r\n");
    client.send(format!("{line} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n")).await;
    client.answer().await
}
