//! The real SDKs see through the gateway exactly what they see without it. What they call and how the two sides are
//! compared is in `tests/sdk`; the SDKs are installed by `tests/run`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::gateway;

#[tokio::test]
async fn every_sdk_sees_through_the_gateway_what_it_sees_without_it() {
    let origin = Origin::start();
    let streaming = gateway().yaml(before(&origin, "")).start().await;
    let reading = gateway().yaml(before(&origin, "max_tokens: { limit: 100000 }")).start().await;

    let compared = python("compare.py")
        .arg("--direct")
        .arg(&origin.url)
        .arg("--gateway")
        .arg(format!("http://{}", streaming.address()))
        .arg("--gateway")
        .arg(format!("http://{}", reading.address()))
        .output()
        .expect("python3 runs");

    let told = String::from_utf8_lossy(&compared.stdout);
    let failed = String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success(), "{told}\n{failed}");
}

/// A configuration that puts everything before `origin`.
fn before(origin: &Origin, plugin: &str) -> String {
    let plugins = if plugin.is_empty() { String::new() } else { format!("{{ {plugin} }}") };
    format!(
        r#"
listeners: [{{ address: "127.0.0.1:0" }}]
upstreams:
  origin: {{ servers: [{{ address: "{}" }}] }}
plugins: [{plugins}]
routes: [{{ upstream: origin }}]
"#,
        origin.url.trim_start_matches("http://")
    )
}

/// The scripted origin; it ends with the test.
struct Origin {
    url: String,
    child: Child,
}

impl Origin {
    fn start() -> Self {
        let mut child = python("origin.py").stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output is piped"))
            .read_line(&mut line)
            .expect("it speaks UTF-8");
        let address = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");
        Self { url: format!("http://{address}"), child }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script of `tests/sdk`.
fn python(script: &str) -> Command {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script);
    let mut command = Command::new("python3");
    command.arg(path).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
