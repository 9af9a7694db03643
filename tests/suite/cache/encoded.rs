//! Answers that are encoded: given again only to clients that take the encoding, and never to others.

use std::io::Write as _;

use zlib_rs::{Deflate, DeflateFlush};

use super::*;
use crate::harness::{gateway, h2c, origin};

pub fn gzip(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; text.len() + 256];
    // 16 more than the window's 15 bits asks for the format of gzip (zlib: `deflateInit2`)
    let mut encoder = Deflate::new(6, true, 31);
    encoder.compress(text.as_bytes(), &mut bytes, DeflateFlush::Finish).unwrap();
    bytes.truncate(usize::try_from(encoder.total_out()).unwrap());
    bytes
}

fn brotli(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    brotli::CompressorWriter::new(&mut bytes, 4096, 5, 22).write_all(text.as_bytes()).unwrap();
    bytes
}

#[tokio::test]
async fn an_encoded_answer_is_given_again_to_who_takes_it_and_to_nobody_else() {
    for stream in [false, true] {
        let origin = origin().await;
        // as a provider does: encoded where the client takes it
        let text = if stream { events(&["one"]).concat() } else { message("whole") };
        let kind = if stream { "text/event-stream" } else { "application/json" };
        origin.answers_with({
            let text = text.clone();
            move |request| {
                let takes = request.header("accept-encoding").unwrap_or_default();
                let head = answer(200).header("content-type", kind).header("vary", "accept-encoding");
                match takes.split([',', ';']).next() {
                    Some("gzip") => head.header("content-encoding", "gzip").body(gzip(&text)),
                    Some("br") => head.header("content-encoding", "br").body(brotli(&text)),
                    _ => head.body(&text),
                }
            }
        });
        let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
        let call = asks("hi", stream);
        for takes in ["gzip", "br, gzip", "identity", ""] {
            let expected = match takes {
                "gzip" => gzip(&text),
                "br, gzip" => brotli(&text),
                _ => text.clone().into_bytes(),
            };
            let headers: &[_] = if takes.is_empty() { &[] } else { &[("accept-encoding", takes)] };
            // who takes nothing encoded shares with who says nothing
            let first = if takes.is_empty() { "HIT" } else { "MISS" };
            for (mut client, wanted) in [(http1(gateway.address()).await, first), (h2c(gateway.address()).await, "HIT")]
            {
                let told = send(&mut client, "a", &call, headers).await.whole().await;
                assert_eq!((mark(&told), &told.body[..]), (wanted, &expected[..]), "{takes} {stream}");
                let encoding = takes.split(',').next().filter(|name| matches!(*name, "gzip" | "br"));
                assert_eq!(told.header("content-encoding"), encoding);
                assert_eq!(told.header("vary"), Some("accept-encoding"));
            }
        }
        // the same set, spelled otherwise; one that is refused is not in it
        let other = [("accept-encoding", "GZIP;q=0.5, br")];
        let told = send(&mut http1(gateway.address()).await, "a", &call, &other).await.whole().await;
        assert_eq!((mark(&told), told.header("content-encoding")), ("HIT", Some("br")));
        let refused = [("accept-encoding", "gzip;q=0")];
        let told = send(&mut http1(gateway.address()).await, "a", &call, &refused).await.whole().await;
        assert_eq!((mark(&told), told.header("content-encoding"), told.text()), ("HIT", None, text));
        assert_eq!(origin.count(), 3);
    }
}
