//! `tollgate import nginx`: a gateway with what it prints answers as nginx does with the file that it was made of, and says the same to
//! the servers behind it.

mod battery;
mod closed;
mod side_by_side;

use std::path::Path;
use std::process::{Command, Output};

use side_by_side::{Case, compare};

use crate::harness::Folder;

#[tokio::test]
async fn paths_go_where_nginx_sends_them() {
    compare(&[battery::API_BELOW_ROOT, battery::TWO_ENGINES, battery::TOOLS, battery::PAGE_AND_API]).await;
}

#[tokio::test]
async fn answers_redirects_and_conditions_are_nginxs() {
    compare(&[battery::SITES, battery::BEARER, battery::CERTIFICATE, battery::PROVIDER]).await;
}

#[tokio::test]
async fn who_gets_in_and_how_often_is_nginxs_choice() {
    compare(&[battery::PASSWORDS, battery::LIMITED, battery::RELAY, battery::GATE, battery::KEYED]).await;
}

#[tokio::test]
async fn headers_and_bodies_are_nginxs() {
    compare(&[battery::BALANCED, battery::PLAIN, battery::CHAT_UI, battery::HUB, battery::PROVIDERS]).await;
}

#[test]
fn what_is_carried_over_whole_exits_with_0_and_what_is_not_says_where() {
    let folder = Folder::new();
    let import = |text: &str| {
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let (code, yaml, stderr) = import(folder.path(), "nginx.conf");
        (code, yaml, stderr.replace(&format!("{}/", folder.path().display()), ""))
    };
    let whole = "server { listen 80; location / { proxy_pass http://127.0.0.1:9001; } }";
    let (code, yaml, stderr) = import(whole);
    assert_eq!((code, &*stderr), (Some(0), ""), "{yaml}");

    let (code, yaml, stderr) =
        import("server {\n listen 80;\n location / {\n proxy_pass http://a;\n sub_filter a b;\n }\n}\n");
    assert_eq!((code, &*stderr), (Some(2), "nginx.conf:5: left out: `sub_filter a b`: bodies pass as they are\n"));
    assert!(yaml.contains("nginx.conf:5: left out: `sub_filter a b`"), "{yaml}");

    for (text, error) in [
        ("server {\n listen 80\n}\n", "nginx.conf:2: `listen` is not ended"),
        ("events {}\n", "no server in it listens"),
    ] {
        let (code, yaml, stderr) = import(text);
        assert_eq!((code, &*yaml), (Some(1), ""), "{text}");
        assert!(stderr.contains(error), "{stderr}");
    }
}

/// Imports a file of a folder.
fn import(folder: &Path, file: &str) -> (Option<i32>, String, String) {
    let program =
        Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["import", "nginx"]).arg(folder.join(file)).output();
    let Output { status, stdout, stderr } = program.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}
