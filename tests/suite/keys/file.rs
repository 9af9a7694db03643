//! A file of keys that changes while the gateway serves.

use std::fs;
use std::time::{Duration, Instant};

use super::{CALL, client, new_key, post, shown};
use crate::harness::{Gateway, answer, eventually, gateway, origin};

const PLUGIN: &str = "plugins: [{ api_keys: { file: keys.yaml } }]";

async fn status(gateway: &Gateway, key: &str) -> u16 {
    post(&mut client(gateway, false).await, "/v1/messages", ("x-api-key", key), CALL).await.status.as_u16()
}

/// Puts another file in the place of the file of keys, as a whole.
fn replace(gateway: &Gateway, text: &str) {
    let (new, path) = (gateway.folder().join("new"), gateway.folder().join("keys.yaml"));
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_key_that_leaves_the_file_is_refused_and_a_new_one_opens_without_a_reload() {
    let ((first, first_line), (second, second_line)) = (new_key("first", &[]), new_key("second", &[]));
    let origin = origin().await;
    origin.answers(answer(200).body("{}"));
    let gateway = gateway().upstream(&origin).file("keys.yaml", first_line.clone()).settings(PLUGIN).start().await;
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 401));
    let changed = Instant::now();
    replace(&gateway, &second_line);
    eventually("the new key", async || status(&gateway, &second).await == 200).await;
    let took = changed.elapsed();
    assert_eq!(status(&gateway, &first).await, 401, "one set of keys takes the place of another as a whole");
    // the promise is a second; a machine that is busy with other tests gets more
    assert!(took < Duration::from_secs(5), "{took:?}");
    // a broken file changes nothing, and is told with its place
    replace(&gateway, &format!("{first_line}\n{second_line}\n- {{ name: x, sha256: 5 }}\n"));
    let told = gateway.says("API keys cannot be read again").await;
    assert!(told.contains("keys.yaml:3:"), "{told}");
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (401, 200));
    assert!(shown(&gateway, "/metrics").await.contains("tollgate_api_keys_reload_failures_total 1\n"));
    replace(&gateway, &format!("{first_line}\n{second_line}\n"));
    eventually("the first key again", async || status(&gateway, &first).await == 200).await;
    assert!(shown(&gateway, "/metrics").await.contains("tollgate_api_keys_loaded 2\n"));
}

#[tokio::test]
async fn a_file_that_is_absent_or_broken_keeps_a_gateway_from_starting() {
    let origin = origin().await;
    let exit = gateway().upstream(&origin).settings(PLUGIN).start_fails().await;
    assert!(exit.stderr.contains("keys.yaml: cannot be read: No such file"), "{}", exit.stderr);
    let broken = gateway().upstream(&origin).file("keys.yaml", "\n- { name: a }\n").settings(PLUGIN);
    let exit = broken.start_fails().await;
    assert!(exit.stderr.contains("keys.yaml:2:3: [0]: `sha256` is missing"), "{}", exit.stderr);
}
