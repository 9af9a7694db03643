//! What the gateway makes of a body: the text that was packed, the facts of the call, its hashes. None of it grows as a client
//! has it.

use std::io::Write;

use brotli::CompressorWriter;
use zlib_rs::{Deflate, DeflateFlush};

use crate::harness::{Answer, Client, body, gateway, http1, origin};
use crate::memory::Peak;

const MIB: usize = 1 << 20;

/// All that read calls: facts, keys of the cache, and places in conversations.
const READERS: &str = "plugins: [{ max_tokens: { limit: 4000 } }, { response_cache: {} }, { usage_log: { database: \"sqlite://ledger.db\" } }]";

fn call(content: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{content}]}}]}}"#)
}

async fn asked(client: &mut Client, coding: &str, packed: Vec<u8>) -> Answer {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let request = request.header("content-encoding", coding).header("x-api-key", "k");
    client.call(request.body(body(packed)).unwrap()).await
}

fn pack(coding: &str, text: &[u8]) -> Vec<u8> {
    match coding {
        "br" => {
            let mut packed = Vec::new();
            let mut writer = CompressorWriter::new(&mut packed, 4096, 5, 22);
            writer.write_all(text).unwrap();
            drop(writer);
            packed
        }
        "zstd" => zstd::encode_all(text, 3).unwrap(),
        "gzip" | "deflate" => {
            let mut packed = vec![0; text.len() / 2 + 1024];
            let mut stream = Deflate::new(6, true, if coding == "gzip" { 16 + 15 } else { 15 });
            stream.compress(text, &mut packed, DeflateFlush::Finish).unwrap();
            packed.truncate(usize::try_from(stream.total_out()).unwrap());
            packed
        }
        stacked => stacked.split(", ").fold(text.to_vec(), |text, coding| pack(coding, &text)),
    }
}

#[tokio::test]
async fn a_body_packed_more_densely_than_text_is_not_unpacked_whatever_packed_it() {
    let origin = origin().await;
    let read = gateway().upstream(&origin).settings(READERS).start().await;
    let passes = gateway().upstream(&origin).settings(&READERS.replace("{ max_tokens: { limit: 4000 } },", ""));
    let passes = passes.start().await;
    let bomb = call(&format!("{}1", " ".repeat(30 * MIB)));
    let prompt = call(&format!(r#"{{"type":"text","text":"{}"}}"#, "once more, ".repeat(4 * MIB / 11)));
    for coding in ["br", "zstd", "gzip", "deflate", "br, gzip"] {
        let (prompt, packed) = (pack(coding, prompt.as_bytes()), pack(coding, bomb.as_bytes()));
        let mut client = http1(read.address()).await;
        assert_eq!(asked(&mut client, coding, prompt).await.status, 200, "{coding}");
        let peak = Peak::of(&read);
        let answer = asked(&mut client, coding, packed.clone()).await;
        let growth = peak.growth();
        assert_eq!(answer.status, 400, "{coding}");
        assert!(answer.text().contains("packed more densely"), "{}", answer.text());
        // the text up to the bound, while it moves to a larger place, and the window of the decoder
        assert!(growth < 48 * MIB as u64, "{coding}: {growth}");
        // nobody who must understand it: it passes as it came
        let before = origin.count();
        let mut client = http1(passes.address()).await;
        let peak = Peak::of(&passes);
        let answer = asked(&mut client, coding, packed.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-cache")), (200, Some("BYPASS")), "{coding}");
        assert!(peak.growth() < 48 * MIB as u64, "{coding}");
        assert!(origin.request(before).await.body == packed, "{coding}");
    }
}

#[tokio::test]
async fn what_is_made_of_a_text_takes_no_multiple_of_it() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(READERS).start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.post("/v1/messages", call("1")).await.status, 200);
    let length = 8 * MIB;
    let keys: String = (0..length / 11).map(|key| format!("\"{key}\":1,")).collect();
    let deep = format!("{}1{},", "{\"a\":".repeat(80), "}".repeat(80)).repeat(length / 482);
    for (what, content) in [
        ("numbers", "1,".repeat(length / 2)),
        ("strings", "\"\",".repeat(length / 3)),
        ("lists", "[],".repeat(length / 3)),
        ("keys", format!("{{{keys}\"z\":1}},")),
        ("escaped keys", format!("{{\"{}\":1}},", "\\u0061".repeat(length / 6))),
        ("depth", deep),
        ("one string", format!("\"{}\",", "\\n".repeat(length / 2))),
    ] {
        let sent = call(&format!("{content}1"));
        let peak = Peak::of(&gateway);
        let answer = client.post("/v1/messages", sent).await;
        let growth = peak.growth();
        assert_eq!(answer.status, 200, "{what}");
        // the body itself, as it grows and goes out, and a constant
        assert!(growth < (2 * length + 24 * MIB) as u64, "{what}: {growth}");
    }
    // a batch of calls with nothing in them, and one whose every call is edited
    for (what, calls, status) in [
        ("empty", r#"{"params":{}},"#.repeat(length / 14), 400),
        (
            "limits",
            format!(r#"{{"params":{{{}"max_tokens":1}}}},"#, r#""max_tokens":1,"#.repeat(15)).repeat(length / 250),
            400,
        ),
        ("honest", r#"{"custom_id":"a","params":{"model":"m","max_tokens":1,"messages":[]}},"#.repeat(100_000), 200),
    ] {
        let sent = format!(r#"{{"requests":[{calls}{{}}]}}"#);
        let peak = Peak::of(&gateway);
        let answer = client.post("/v1/messages/batches", sent).await;
        assert_eq!(answer.status, status, "{what}");
        assert!(peak.growth() < (4 * length + 24 * MIB) as u64, "{what}: {}", peak.growth());
    }
}
