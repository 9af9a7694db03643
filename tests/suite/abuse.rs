//! Raw-socket abuse: whatever a client writes, no upstream sees a request that nobody made, and the gateway lives.

mod conformance;
mod connections;
mod floods;
mod framing;
mod heads;
mod http2;
mod pipelined;
mod processor;
mod refusals;
mod slowness;

use std::fmt::Write;

use futures_util::future::join_all;

use crate::harness::{Gateway, Origin, Received, connect, gateway, http1, origin};

/// What a message on its way to a second request might hide.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// Short enough that a connection which waits for more ends while the test looks.
const SETTINGS: &str = "server: { header_timeout: 1s, body_timeout: 1s, keepalive_timeout: 1s }\n";
const BODIES_ARE_READ: &str = "plugins: [{ max_tokens: { limit: 4000 } }]\n";

/// For attacks that are no waiting and must end by what they are, however long a busy machine takes for them.
const PATIENT: &str = "server: { header_timeout: 1m, body_timeout: 1m, keepalive_timeout: 1s }\n";

/// A gateway that is attacked, and what stands behind it.
struct Target {
    origin: Origin,
    gateway: Gateway,
}

impl Target {
    async fn with(settings: &str) -> Self {
        Self::within("2s", settings).await
    }

    /// One that is as patient with its server.
    async fn patient() -> Self {
        Self::within("1m", PATIENT).await
    }

    async fn within(first_byte: &str, settings: &str) -> Self {
        let origin = origin().await;
        let gateway =
            gateway().upstream(&origin).upstream_settings(&format!("timeouts: {{ first_byte: {first_byte} }}"));
        let gateway = gateway.settings(settings);
        let here = "routes:\n  - { paths: [= /here], answer: { body: hi } }\n";
        let yaml = gateway.text().replace("routes:\n", here);
        Self { gateway: gateway.yaml(yaml).start().await, origin }
    }

    /// One whose bodies stream, and one whose bodies are read.
    async fn both() -> [Self; 2] {
        [Self::with(SETTINGS).await, Self::with(&format!("{SETTINGS}{BODIES_ARE_READ}")).await]
    }

    /// Writes these bytes to a connection of its own, and gives all that comes back until its end.
    async fn told(&self, bytes: &[u8]) -> String {
        let mut attacker = connect(self.gateway.address()).await;
        // who is refused may find the connection closed while it still writes
        let _ = attacker.try_send(bytes).await;
        String::from_utf8_lossy(&attacker.to_end().await).into_owned()
    }

    /// How many requests for this target the origin has received in full.
    fn whole(&self, target: &str) -> usize {
        self.origin.requests().iter().filter(|seen| seen.complete && seen.target == target).count()
    }

    /// The gateway serves as before, nothing is in flight, and no upstream has seen what could be read in two ways.
    async fn is_unharmed(&mut self) {
        assert!(self.gateway.runs());
        assert_eq!(http1(self.gateway.address()).await.get("/witness").await.text(), "hello");
        assert_eq!(self.whole("/witness"), 1);
        for seen in self.origin.requests() {
            assert!(!seen.target.contains("smuggled"), "{}", seen.raw_head.escape_ascii());
            is_plain(&seen);
        }
        self.gateway.idle().await;
        assert!(!self.gateway.stderr().contains("panicked"), "{}", self.gateway.stderr());
    }
}

/// A head in which any two parsers find the same: clean lines, one host, one framing.
fn is_plain(seen: &Received) {
    let head = &seen.raw_head;
    let shown = head.escape_ascii();
    assert!(!head.contains(&0), "{shown}");
    let bare = head.iter().enumerate().any(|(at, byte)| match byte {
        b'\n' => at == 0 || head[at - 1] != b'\r',
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    assert!(!bare, "{shown}");
    assert_eq!(seen.all("host").len(), 1, "{shown}");
    let (lengths, codings) = (seen.all("content-length"), seen.all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "{shown}");
    assert!(lengths.iter().flat_map(|length| *length).all(u8::is_ascii_digit), "{shown}");
    assert!(codings.iter().all(|coding| *coding == b"chunked"), "{shown}");
    for hop in ["connection", "keep-alive", "te", "trailer", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(seen.all(hop).is_empty(), "{shown}");
    }
}

/// A request of an attacker: what follows its method and host, the statuses it must get, and how many requests may
/// reach the upstream in full.
struct Case {
    name: &'static str,
    rest: Vec<u8>,
    statuses: &'static [u16],
    upstream: usize,
}

/// A case whose head goes on as `head` says and ends with an empty line, and whose body follows.
fn case(name: &'static str, head: &str, body: impl AsRef<[u8]>, statuses: &'static [u16], upstream: usize) -> Case {
    let rest = [format!("{head}\r\n\r\n").as_bytes(), body.as_ref()].concat();
    Case { name, rest, statuses, upstream }
}

/// Runs all cases against both kinds of gateway at once, each on a connection of its own.
async fn run(cases: &[Case]) {
    for mut target in Target::both().await {
        let attacks = cases.iter().map(async |case| {
            let mut bytes = format!("POST /v1/messages?{} HTTP/1.1\r\nhost: a\r\n", case.name).into_bytes();
            bytes.extend_from_slice(&case.rest);
            (case, target.told(&bytes).await)
        });
        let mut wrong = String::new();
        for (case, told) in join_all(attacks).await {
            let (told, upstream) = (statuses(&told), target.whole(&format!("/v1/messages?{}", case.name)));
            if (&told[..], upstream) != (case.statuses, case.upstream) {
                let _ = writeln!(wrong, "{}: told {told:?}, {upstream} went upstream", case.name);
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        target.is_unharmed().await;
    }
}

/// The final statuses among what a connection told.
fn statuses(told: &str) -> Vec<u16> {
    let heads = told.match_indices("HTTP/1.1 ").map(|(at, line)| told[at + line.len()..][..3].parse().unwrap());
    heads.filter(|status| *status >= 200).collect()
}
