//! Files that a configuration includes: read at every reload, and named where they are wrong.

use std::fs;

use crate::harness::{answer, gateway, http1, origin};

#[tokio::test]
async fn a_reload_reads_included_files_and_a_broken_one_changes_nothing() {
    let origin = origin().await;
    origin.answers(answer(200).body("one"));
    let yaml = format!(
        "include: [\"routes.d/*.yaml\"]\nlisteners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\n\
         upstreams: {{ one: {{ servers: [{{ address: \"{}\" }}] }} }}\nroutes: [{{ paths: [/main/], upstream: one }}]\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.get("/more/").await.status, 404);
    let folder = gateway.folder().join("routes.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("more.yaml"), "routes:\n  - { paths: [/more/], upstream: one }\n").unwrap();
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    assert_eq!(
        (client.get("/more/").await.status, client.get("/main/").await.status),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    fs::write(folder.join("more.yaml"), "routes:\n  - { paths: [/more/], upstream: two }\n").unwrap();
    let refused = gateway.ask("POST", "/reload").await;
    let text = refused.text();
    assert_eq!(refused.status, 400);
    assert!(text.contains("routes.d/more.yaml:2:34: routes[1].upstream: unknown upstream `two`"), "{text}");
    assert_eq!(client.get("/more/").await.status, 200, "the old one serves on");
}
