//! Where a body ends: every way to make two parsers disagree about it is refused, or has one meaning.

use super::{SMUGGLED, Target, case, run};
use crate::harness::connect;

/// Two chunks and the end, as they ought to be.
const CHUNKS: &str = "2\r\n{}\r\n1\r\n \r\n0\r\n\r\n";
const CHUNKED: &str = "transfer-encoding: chunked";

#[tokio::test]
async fn what_is_clean_passes_and_a_request_behind_it_is_the_clients_own() {
    let second = "GET /v1/messages?clean_length HTTP/1.1\r\nhost: a\r\n\r\n";
    run(&[
        case("clean_length", "content-length: 2", format!("{{}}{second}"), &[200, 200], 2),
        case("clean_chunks", CHUNKED, CHUNKS, &[200], 1),
        case("with_trailers", CHUNKED, "2\r\n{}\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n", &[200], 1),
        case("with_extensions", CHUNKED, "2;a=b;c\r\n{}\r\n0;d\r\n\r\n", &[200], 1),
        case("case_of_chunked", "Transfer-Encoding:  CHUNKED ", CHUNKS, &[200], 1),
    ])
    .await;
}

#[tokio::test]
async fn a_body_is_a_body_whatever_it_looks_like() {
    let length = format!("content-length: {}", SMUGGLED.len());
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    run(&[
        case("request_in_length", &length, SMUGGLED, &[200], 1),
        case("request_in_chunk", CHUNKED, chunk, &[200], 1),
    ])
    .await;
}

#[tokio::test]
async fn behind_a_body_whose_end_nobody_knows_there_is_no_request() {
    for mut target in Target::both().await {
        for path in ["/v1/messages", "/here"] {
            for broken in ["2\n{}\r\n0\r\n\r\n", "2\r\n{}x\r\n0\r\n\r\n", "zz\r\n"] {
                let mut attacker = connect(target.gateway.address()).await;
                let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{CHUNKED}\r\n\r\n");
                attacker.send(head + broken).await;
                // what follows comes once the gateway has seen what is wrong
                let first = attacker.answer().await;
                let _ = attacker.try_send(SMUGGLED).await;
                let rest = attacker.to_end().await;
                assert!(rest.is_empty(), "{path} {broken:?}: {first:?} {}", rest.escape_ascii());
            }
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_length_beside_an_encoding_is_refused() {
    let behind = format!("0\r\n\r\n{SMUGGLED}");
    let length = behind.len();
    let short = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    run(&[
        case("cl_te", &format!("content-length: {length}\r\ntransfer-encoding: chunked"), &behind, &[400], 0),
        case("te_cl", &format!("transfer-encoding: chunked\r\ncontent-length: {length}"), &behind, &[400], 0),
        case("te_cl_short", &format!("{CHUNKED}\r\ncontent-length: 4"), short, &[400], 0),
        case("cl_te_zero", &format!("content-length: 0\r\n{CHUNKED}"), &behind, &[400], 0),
        case("cl_te_odd", &format!("Content-Length:{length}\r\nTRANSFER-ENCODING:chunked"), &behind, &[400], 0),
    ])
    .await;
}

#[tokio::test]
async fn a_length_that_is_not_one_number_is_refused() {
    let body = format!("{{}}{SMUGGLED}");
    let body = body.as_str();
    run(&[
        case("twice_differently", "content-length: 2\r\ncontent-length: 46", body, &[400], 0),
        case("twice_alike", "content-length: 2\r\ncontent-length: 2", body, &[400], 0),
        case("as_list", "content-length: 2, 2", body, &[400], 0),
        case("as_other_list", "content-length: 2, 46", body, &[400], 0),
        case("plus", "content-length: +2", body, &[400], 0),
        case("minus", "content-length: -2", body, &[400], 0),
        case("minus_zero", "content-length: -0", body, &[400], 0),
        case("hexadecimal", "content-length: 0x2", body, &[400], 0),
        case("with_fraction", "content-length: 2.0", body, &[400], 0),
        case("with_space", "content-length: 2 2", body, &[400], 0),
        case("empty", "content-length:", body, &[400], 0),
        case("word", "content-length: two", body, &[400], 0),
        case("huge", "content-length: 99999999999999999999999999", body, &[400], 0),
        case("over_64_bits", "content-length: 18446744073709551618", body, &[400], 0),
        case("vertical_tab", "content-length: \x0b2", body, &[400], 0),
    ])
    .await;
}

#[tokio::test]
async fn an_encoding_that_is_not_chunked_alone_is_refused() {
    let body = format!("{CHUNKS}{SMUGGLED}");
    let body = body.as_str();
    run(&[
        case("xchunked", "transfer-encoding: xchunked", body, &[400], 0),
        case("identity", "transfer-encoding: identity", body, &[400], 0),
        case("then_identity", "transfer-encoding: chunked, identity", body, &[400], 0),
        case("after_identity", "transfer-encoding: identity, chunked", body, &[400], 0),
        case("gzip", "transfer-encoding: gzip, chunked", body, &[400], 0),
        case("chunked_twice", "transfer-encoding: chunked, chunked", body, &[400], 0),
        case("two_lines", "transfer-encoding: chunked\r\ntransfer-encoding: chunked", body, &[400], 0),
        case("two_other_lines", "transfer-encoding: chunked\r\ntransfer-encoding: cow", body, &[400], 0),
        case("other_line_first", "transfer-encoding: cow\r\ntransfer-encoding: chunked", body, &[400], 0),
        case("quoted", "transfer-encoding: \"chunked\"", body, &[400], 0),
        case("with_comma", "transfer-encoding: ,chunked", body, &[400], 0),
        case("with_comma_behind", "transfer-encoding: chunked,", body, &[400], 0),
        case("with_parameter", "transfer-encoding: chunked;q=1", body, &[400], 0),
        case("vertical_tab_before", "transfer-encoding: \x0bchunked", body, &[400], 0),
        case("empty_encoding", "transfer-encoding:", body, &[400], 0),
        case("space_before_colon", "transfer-encoding : chunked", body, &[400], 0),
        case("tab_before_colon", "transfer-encoding\t: chunked", body, &[400], 0),
        case("space_before_name", "x: y\r\n transfer-encoding: chunked", body, &[400], 0),
    ])
    .await;
}

#[tokio::test]
async fn a_chunk_that_is_not_well_formed_is_refused() {
    let behind = |chunks: &str| format!("{chunks}{SMUGGLED}");
    run(&[
        case("bare_lf_size", CHUNKED, behind("2\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("bare_lf_data", CHUNKED, behind("2\r\n{}\n0\r\n\r\n"), &[400], 0),
        case("bare_lf_last", CHUNKED, behind("2\r\n{}\r\n0\n\r\n"), &[400], 0),
        case("bare_lf_end", CHUNKED, behind("2\r\n{}\r\n0\r\n\n"), &[400], 0),
        case("bare_lf_trailer", CHUNKED, behind("2\r\n{}\r\n0\r\nx: y\n\r\n"), &[400], 0),
        case("bare_lf_everywhere", CHUNKED, behind("2\n{}\n0\n\n"), &[400], 0),
        case("bare_cr_size", CHUNKED, behind("2\r{}\r\n0\r\n\r\n"), &[400], 0),
        case("bare_lf_extension", CHUNKED, behind("2;a\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("no_end_of_data", CHUNKED, behind("2\r\n{}0\r\n\r\n"), &[400], 0),
        case("longer_data", CHUNKED, behind("2\r\n{} \r\n0\r\n\r\n"), &[400], 0),
        case("size_overflow", CHUNKED, behind("10000000000000002\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_maximum", CHUNKED, behind("ffffffffffffffff\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_minus", CHUNKED, behind("-2\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_plus", CHUNKED, behind("+2\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_prefix", CHUNKED, behind("0x2\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_underscore", CHUNKED, behind("0_2\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_word", CHUNKED, behind("two\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_space_before", CHUNKED, behind(" 2\r\n{}\r\n0\r\n\r\n"), &[400], 0),
        case("size_nul", CHUNKED, behind("2\0\r\n{}\r\n0\r\n\r\n"), &[400], 0),
    ])
    .await;
}

#[tokio::test]
async fn a_chunk_without_a_size_is_the_last_of_its_connection() {
    // it is read as one of no bytes, which ends the body; what follows could be anything, so nothing of it is read
    let behind = |chunks: &str| format!("{chunks}{SMUGGLED}");
    run(&[
        case("no_size", CHUNKED, behind("\r\n\r\n"), &[200], 1),
        case("no_size_but_data", CHUNKED, behind("\r\n{}\r\n0\r\n\r\n"), &[200], 1),
        case("no_size_but_extension", CHUNKED, behind(";a\r\n{}\r\n0\r\n\r\n"), &[200], 1),
    ])
    .await;
}

#[tokio::test]
async fn a_connection_serves_on_after_chunks_to_one_who_waits_for_the_answer() {
    for mut target in Target::both().await {
        let mut raw = connect(target.gateway.address()).await;
        for number in 0..3 {
            let head = format!("POST /v1/messages?{number} HTTP/1.1\r\nhost: a\r\n{CHUNKED}\r\n\r\n");
            raw.send(format!("{head}{CHUNKS}")).await;
            assert_eq!(raw.answer().await.status, 200);
            assert_eq!(target.origin.request(number).await.body, b"{} ");
        }
        target.is_unharmed().await;
    }
}
