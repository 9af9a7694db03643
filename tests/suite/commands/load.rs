//! The demo under the load test of `tests/k6`, which is one for k6. Where that is not to be had, Node runs it: see `tests/k6/on_node`.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Map, Value};

use super::{demo, text};
use crate::harness::Folder;

/// The stages of the script in seconds in place of minutes, with a tenth of its users.
const STAGES: [&str; 3] = ["500ms:10", "1s:10", "500ms:0"];
/// The machine may be busy with other tests, and one of the checks is of time.
const TRIES: usize = 5;

/// One run of the script against this address: how many iterations there were, and the checks.
async fn run(address: SocketAddr) -> (u64, Map<String, Value>) {
    let mut command = Command::new("node");
    command.args(["tests/k6/on_node/run.mjs", "--connect-to", &address.to_string()]);
    command.args(STAGES.iter().flat_map(|stage| ["--stage", stage])).arg("tests/k6/messages.js");
    let run = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let result: Value = serde_json::from_slice(&run.stdout).unwrap();
    (result["iterations"].as_u64().unwrap(), result["checks"].as_object().unwrap().clone())
}

#[tokio::test]
async fn the_demo_passes_its_load_test() {
    let folder = Folder::new();
    let demo = demo(&folder);
    let address = demo.address("listening on ").await;
    for attempt in 1..=TRIES {
        let (iterations, checks) = run(address).await;
        assert!(iterations >= 20, "{iterations}");
        let names: Vec<&str> = checks.keys().map(String::as_str).collect();
        assert_eq!(names, ["status is 200", "response time < 500ms"]);
        let passes = |name: &str| checks[name]["passes"].as_u64() == Some(iterations);
        assert!(passes("status is 200"), "{checks:?}");
        if passes("response time < 500ms") {
            return;
        }
        assert!(attempt < TRIES, "{checks:?}");
    }
}
