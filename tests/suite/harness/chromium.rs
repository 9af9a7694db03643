//! A real Chromium without a window, driven by its `DevTools` protocol. It ends with the test.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::folder::Folder;
use super::wait::{DEADLINE, found};

/// The process, at one page. Its own processes end with it.
pub struct Chromium {
    child: Child,
    profile: Folder,
}

impl Chromium {
    pub fn at(url: &str) -> Self {
        let profile = Folder::new();
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-dev-shm-usage", "--ignore-certificate-errors"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.args(["--remote-debugging-port=0", url]);
        command.env("TMPDIR", profile.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("chromium runs; `tests/run` installs it");
        Self { child, profile }
    }

    /// The address of its `DevTools`: it writes port and path into its profile.
    async fn devtools(&self) -> String {
        let file = self.profile.path().join("DevToolsActivePort");
        let lines = found("the address of DevTools", async || {
            let text = fs::read_to_string(&file).ok()?;
            let (port, path) = text.split_once('\n')?;
            (!path.is_empty()).then(|| format!("ws://127.0.0.1:{port}{}", path.trim()))
        });
        lines.await
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // its own processes too
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

/// A page of a browser.
pub struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    next: u64,
    /// What the browser said of itself: errors of scripts, and what the page's policy forbids.
    pub complaints: Vec<String>,
    _browser: Chromium,
}

impl Page {
    /// An empty page of a new browser.
    pub async fn open() -> Self {
        let browser = Chromium::at("about:blank");
        let (socket, _) = connect_async(browser.devtools().await).await.unwrap();
        let mut page = Self { socket, session: String::new(), next: 0, complaints: Vec::new(), _browser: browser };
        let target = page.send("Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.send("Target.attachToTarget", target).await;
        attached["sessionId"].as_str().unwrap().clone_into(&mut page.session);
        for domain in ["Page", "Runtime", "Log"] {
            page.send(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    /// Loads an address.
    pub async fn go(&mut self, url: &str) {
        self.send("Page.navigate", json!({ "url": url })).await;
    }

    /// The value of an expression in the page, promises awaited; `null` for what has none. Panics if it throws.
    pub async fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let told = self.send("Runtime.evaluate", asked).await;
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true. The page may be left meanwhile.
    pub async fn until(&mut self, expression: &str) {
        let asked = json!({ "expression": format!("Boolean({expression})"), "returnByValue": true });
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let told = self.send("Runtime.evaluate", asked.clone()).await;
            if told["result"]["value"] == true {
                return;
            }
            if tokio::time::Instant::now() > end {
                let text = self.value("`${location} ${document.title}\n${document.body?.innerText}`").await;
                panic!("not seen in time: {expression}\n{}\n{:?}", text.as_str().unwrap_or_default(), self.complaints);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Sets the width of the window, and whether the user prefers a dark page.
    pub async fn look(&mut self, width: u32, is_dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.send("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({ "name": "prefers-color-scheme", "value": if is_dark { "dark" } else { "light" } });
        self.send("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await;
    }

    /// Presses a key as a user does: `Tab`, `Enter`.
    pub async fn press(&mut self, key: &str) {
        let code = if key == "Tab" { 9 } else { 13 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.send("Input.dispatchKeyEvent", event).await;
        }
    }

    /// The whole page as PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        let size = self.value("[document.documentElement.clientWidth, document.documentElement.scrollHeight]").await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let taken = self.send("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip })).await;
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    async fn send(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let told = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("an answer of the browser");
            let Message::Text(text) = told.expect("a browser that runs").unwrap() else { continue };
            let told: Value = serde_json::from_str(&text).unwrap();
            if told["id"] == id {
                // a page that is left while it is asked has no answer
                return told["result"].clone();
            }
            self.note(&told);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            _ => {}
        }
    }
}
