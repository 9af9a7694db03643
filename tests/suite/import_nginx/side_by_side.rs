//! nginx with a configuration, and a gateway with what was imported of it, before servers that are alike.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{
    Folder, Gateway, Nginx, Origin, Raw, RawAnswer, Received, answer, connect, eventually, gateway, nginx_of, origin,
};

/// A configuration and the requests that both are asked.
pub struct Case {
    /// The file or the folder in `tests/nginx`.
    pub file: &'static str,
    /// The port that it listens at.
    pub port: u16,
    /// The variables of the environment.
    pub variables: &'static [(&'static str, &'static str)],
    /// The requests: `METHOD TARGET`, then headers, then a body behind an empty line.
    pub requests: &'static [&'static str],
}

/// How many servers a configuration may have; they are at the ports from 9001 on there.
const SERVERS: usize = 4;
/// The host that is asked where a request names none.
const HOST: &str = "chat.example.com";
/// What servers say of how long an answer may be kept.
const EXPIRES: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
/// Headers of answers that each proxy makes by itself.
const OWN_OF_ANSWERS: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "retry-after",
    "server",
    "transfer-encoding",
    "x-request-id",
    "x-should-retry",
];
/// Headers of requests that each proxy makes by itself, and those that only the gateway sends.
const OWN_OF_REQUESTS: [&str; 4] = ["connection", "content-length", "transfer-encoding", "x-request-id"];
const ONLY_HERE: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"];

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Option<String>,
    received: Vec<Heard>,
}

/// What a server was asked.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    server: usize,
    line: String,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

/// One of the two, with its servers.
struct Side {
    address: SocketAddr,
    servers: Vec<Origin>,
    /// The port of the configuration.
    port: u16,
}

/// Asks nginx and the gateway the same with each of these configurations, and compares.
pub async fn compare(cases: &[Case]) {
    let mut differences = String::new();
    for case in cases {
        differences += &differences_of(case).await;
    }
    assert!(differences.is_empty(), "{differences}");
}

async fn differences_of(case: &Case) -> String {
    let (theirs, _nginx) = theirs(case).await;
    let (ours, gateway) = ours(case).await;
    let mut differences = String::new();
    for request in case.requests {
        let mut expected = theirs.ask(request).await;
        let mut found = ours.ask(request).await;
        // an answer may be here before its place on the server is given back
        eventually("no request is in flight", async || {
            gateway.metrics().await.sum("tollgate_upstream_in_flight", &[]) == 0.0
        })
        .await;
        for (found, expected) in found.received.iter_mut().zip(&expected.received) {
            let is_more = |name: &str| ONLY_HERE.contains(&name) && !expected.headers.contains_key(name);
            found.headers.retain(|name, _| !is_more(name));
        }
        if expected.body.is_none() {
            // a page of nginx's own
            found.body = None;
            found.headers.remove("content-type");
        }
        if expected.headers.get("expires").is_some_and(|expires| *expires != [EXPIRES]) {
            // made of the time; what else says the same is compared
            expected.headers.remove("expires");
            found.headers.remove("expires");
        }
        if found != expected {
            differences += &format!("{}: {request}\n  nginx:    {expected:?}\n  tollgate: {found:?}\n", case.file);
        }
    }
    differences
}

async fn theirs(case: &Case) -> (Side, Nginx) {
    let folder = Folder::new();
    let servers = servers().await;
    copy(case, &servers, folder.path());
    let nginx = nginx_of(folder, |port, at| {
        // as the container's `envsubst` does
        for file in files(at) {
            let text = fs::read_to_string(&file).unwrap();
            let text =
                case.variables.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
            let text = text.replace("/etc/nginx/conf.d/", "conf.d/");
            let listens = format!("listen {}", case.port);
            fs::write(&file, text.replace(&listens, &format!("listen 127.0.0.1:{port}"))).unwrap();
            if let Some(finished) = file.to_str().unwrap().strip_suffix(".template") {
                fs::rename(&file, finished).unwrap();
            }
        }
        fs::read_to_string(at.join("nginx.conf")).unwrap()
    })
    .await;
    (Side { address: nginx.address(), servers, port: case.port }, nginx)
}

async fn ours(case: &Case) -> (Side, Gateway) {
    let folder = Folder::new();
    let servers = servers().await;
    copy(case, &servers, folder.path());
    let (code, yaml, stderr) = super::import(folder.path(), "nginx.conf");
    assert!(matches!(code, Some(0 | 2)), "{stderr}");
    let yaml = case.variables.iter().fold(yaml, |yaml, (name, value)| {
        if *name == "PORT" { yaml.replace(&format!("${{{name}}}"), value) } else { yaml }
    });
    let yaml = yaml.replace(&format!("0.0.0.0:{}", case.port), "127.0.0.1:0") + "admin: { address: \"127.0.0.1:0\" }\n";
    let mut builder = gateway().yaml(yaml).file("users.htpasswd", fs::read(fixtures().join("users.htpasswd")).unwrap());
    for (name, value) in case.variables {
        builder = builder.variable(name, value);
    }
    let gateway = builder.start().await;
    (Side { address: gateway.address(), servers, port: case.port }, gateway)
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx"))
}

/// Copies a configuration, with the addresses of these servers in the place of its own.
fn copy(case: &Case, servers: &[Origin], folder: &Path) {
    let from = fixtures().join(case.file);
    let sources = if from.is_dir() { files(&from) } else { vec![from.clone()] };
    for source in sources {
        let to = match source.strip_prefix(&from) {
            Ok(below) if from.is_dir() => folder.join(below),
            _ => folder.join("nginx.conf"),
        };
        let mut text = fs::read_to_string(&source).unwrap();
        for (at, server) in servers.iter().enumerate() {
            let own = server.address().port();
            text = text.replace(&format!(":{}", 9001 + at), &format!(":{own}"));
        }
        // TLS and IPv6 are compared elsewhere
        let text = text.replace("https://api.anthropic.com", &format!("http://{}", servers[0].address()));
        let text = match text.split_once("listen 443 ssl;") {
            Some((http, https)) => {
                http.to_owned() + "listen 80;" + &https.replace("server_name chat.", "server_name inside.")
            }
            None => text,
        };
        let text = text.replace("http2 on;", "");
        let lines = text.lines().filter(|line| !line.contains("listen [::]") && !line.contains("ssl_"));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
    fs::copy(fixtures().join("users.htpasswd"), folder.join("users.htpasswd")).unwrap();
}

/// The files below a folder that are part of a configuration.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => all.extend(files(&path)),
            Some("conf" | "template") => all.push(path),
            _ => {}
        }
    }
    all
}

/// Servers that say what they were asked.
async fn servers() -> Vec<Origin> {
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        let server = origin().await;
        let address = server.address();
        server.answers_with(move |request| {
            let status = match request.target.as_str() {
                "/redirect" => 302,
                "/missing" => 404,
                "/fails" => 503,
                _ => 200,
            };
            let mut head = answer(status)
                .header("content-type", "text/plain")
                .header("x-server", number.to_string())
                .header("access-control-allow-origin", "https://own.example.com")
                .header("content-disposition", "attachment")
                .header("expires", EXPIRES)
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2");
            if status == 302 {
                let host = request.host().unwrap_or_default();
                let host = if request.header("x-by-name").is_some() { host.to_owned() } else { address.to_string() };
                head = head.header("location", format!("http://{host}/there?x=1"));
            }
            let body =
                if request.method == "HEAD" { String::new() } else { format!("{} {}", request.method, request.target) };
            head.body(body)
        });
        servers.push(server);
    }
    servers
}

impl Side {
    async fn ask(&self, request: &str) -> Outcome {
        let before: Vec<usize> = self.servers.iter().map(Origin::count).collect();
        let mut client = connect(self.address).await;
        let method = request.split(' ').next().unwrap();
        self.send(&mut client, request).await;
        let answer = client.answer_to(method).await;
        let mut received = Vec::new();
        for (at, server) in self.servers.iter().enumerate() {
            for number in before[at]..server.count() {
                received.push(self.heard(at, &server.request(number).await));
            }
        }
        self.outcome(&answer, received)
    }

    async fn send(&self, client: &mut Raw, request: &str) {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let host = if headers.contains("host:") { String::new() } else { format!("host: {HOST}\r\n") };
        let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
        client.send(format!("{line} HTTP/1.1\r\n{host}{headers}\r\n{body}")).await;
    }

    fn outcome(&self, answer: &RawAnswer, received: Vec<Heard>) -> Outcome {
        let mut headers = BTreeMap::new();
        for (name, value) in &answer.headers {
            let name = name.to_ascii_lowercase();
            let value = self.as_configured(&String::from_utf8_lossy(value));
            let value = match name.as_str() {
                // a question for a password says its characters, too
                "www-authenticate" => value.split(',').next().unwrap_or_default().to_owned(),
                _ => value,
            };
            let is_limit = name.starts_with("x-ratelimit-");
            if name == "content-type" {
                // nginx sends a second one where it is told to add it
                headers.insert(name, vec![value]);
            } else if !is_limit && !OWN_OF_ANSWERS.contains(&name.as_str()) {
                headers.entry(name).or_insert_with(Vec::new).push(value);
            }
        }
        let body = answer.text();
        let is_page = body.contains("<center>nginx");
        if is_page {
            headers.remove("content-type");
        }
        Outcome { status: answer.status, headers, body: (!is_page).then(|| self.as_configured(&body)), received }
    }

    fn heard(&self, server: usize, request: &Received) -> Heard {
        let mut headers = BTreeMap::new();
        for (name, value) in &request.headers {
            let name = name.to_ascii_lowercase();
            if !OWN_OF_REQUESTS.contains(&name.as_str()) {
                let value = self.as_configured(&String::from_utf8_lossy(value));
                headers.entry(name).or_insert_with(Vec::new).push(value);
            }
        }
        let line = format!("{} {}", request.method, request.target);
        Heard { server, line, headers, body: String::from_utf8_lossy(&request.body).into_owned() }
    }

    /// A text with the ports of the configuration in the place of those that were free.
    fn as_configured(&self, text: &str) -> String {
        let own = self.address.port();
        if text == own.to_string() {
            return self.port.to_string();
        }
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        let mut text = text.replace(&format!(":{own}"), &port);
        for (at, server) in self.servers.iter().enumerate() {
            text = text.replace(&server.address().port().to_string(), &(9001 + at).to_string());
        }
        text
    }
}
