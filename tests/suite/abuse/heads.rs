//! Heads that no client ought to send, and bytes that are no head at all.

use super::{SETTINGS, SMUGGLED, Target, case, run, statuses};
use crate::harness::{connect, soon};
use crate::payloads::noise;

#[tokio::test]
async fn a_head_that_is_not_well_formed_is_refused() {
    run(&[
        case("nul_in_value", "x: a\0b", SMUGGLED, &[400], 0),
        case("nul_in_name", "x\0: a", SMUGGLED, &[400], 0),
        case("control_in_value", "x: a\x01b", SMUGGLED, &[400], 0),
        case("bare_cr_in_value", "x: a\rtransfer-encoding: chunked", SMUGGLED, &[400], 0),
        case("obs_fold", "x: a\r\n b", SMUGGLED, &[400], 0),
        case("obs_fold_tab", "x: a\r\n\tcontent-length: 46", SMUGGLED, &[400], 0),
        case("no_name", ": a", SMUGGLED, &[400], 0),
        case("no_colon", "x", SMUGGLED, &[400], 0),
        case("space_in_name", "x y: a", SMUGGLED, &[400], 0),
        case("two_hosts", "host: b", SMUGGLED, &[400], 0),
        case("same_host_twice", "Host: a", SMUGGLED, &[400], 0),
    ])
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let many: String = (0..3000).map(|number| format!("x-{number}: {number}\r\n")).collect();
    let large = format!("x: {}", "y".repeat(2 << 20));
    for mut target in Target::both().await {
        let head = |rest: &str| format!("GET /smuggled HTTP/1.1\r\nhost: a\r\n{rest}\r\n\r\n");
        for bytes in [head(&many), head(&large), format!("GET /smuggled{} HTTP/1.1", "/".repeat(2 << 20))] {
            let told = target.told(bytes.as_bytes()).await;
            // what was still on its way when the connection was closed may have swept the answer away
            assert!([&[400][..], &[431], &[]].contains(&&*statuses(&told)), "{told}");
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_line_that_is_refused_while_it_is_held_is_answered_and_not_read_on() {
    let long = format!("/smuggled{}", "/".repeat(5000));
    for (settings, line, status) in [
        ("server: { max_header: 1KiB }\n", format!("GET {long} HTTP/1.1"), 431),
        ("", format!("GET {long} b HTTP/1.1"), 400),
        ("", format!("POST {long} b HTTP/1.1\r\ncontent-length: 2"), 400),
    ] {
        let mut target = Target::with(settings).await;
        for is_first in [true, false] {
            let mut attacker = connect(target.gateway.address()).await;
            if !is_first {
                attacker.send("GET /here HTTP/1.1\r\nhost: a\r\n\r\n").await;
                assert_eq!(attacker.answer().await.status, 200);
            }
            let _ = attacker.try_send(format!("{line}\r\nhost: a\r\n\r\n{{}}")).await;
            let told = String::from_utf8_lossy(&attacker.to_end().await).into_owned();
            assert_eq!(statuses(&told), [status], "{line}, first: {is_first}: {told}");
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_request_that_does_not_say_whose_it_is_is_refused() {
    for mut target in Target::both().await {
        for (request, answers) in [
            ("GET /smuggled HTTP/1.1\r\n\r\n", &[400][..]),
            ("GET /smuggled HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n", &[400]),
            ("GET http://b/smuggled HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
            ("GET http://b@a/smuggled HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
            ("GET http://a\\@b/smuggled HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
            ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", &[405]),
            ("CONNECT /smuggled HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ] {
            let told = target.told(request.as_bytes()).await;
            assert_eq!(statuses(&told), answers, "{request}: {told}");
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_leads_where_its_host_does() {
    let mut target = Target::with(SETTINGS).await;
    let told = target.told(b"GET http://a/absolute?x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(statuses(&told), [200]);
    let seen = target.origin.request(0).await;
    assert_eq!((&*seen.target, seen.host()), ("/absolute?x", Some("a")));
    target.is_unharmed().await;
}

#[tokio::test]
async fn http_1_0_needs_no_host_and_cannot_have_chunks() {
    for mut target in Target::both().await {
        let chunked = "POST /smuggled HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(statuses(&target.told(chunked.as_bytes()).await), [400]);
        for (number, (head, host)) in [("host: a\r\n", "a"), ("", &*target.origin.server())].into_iter().enumerate() {
            let told = target.told(format!("GET /1.0 HTTP/1.0\r\n{head}\r\n").as_bytes()).await;
            assert_eq!(statuses(&told), [200], "{told}");
            assert_eq!(target.origin.request(number).await.host(), Some(host));
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn an_upgrade_to_http_2_is_not_passed_on() {
    for mut target in Target::both().await {
        for (number, upgrade) in ["h2c", "h2c, websocket", "HTTP/2.0", "TLS/1.0"].into_iter().enumerate() {
            let request = format!(
                "GET /upgrade{number} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings, close\r\nupgrade: \
                 {upgrade}\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            );
            let told = target.told(request.as_bytes()).await;
            assert_eq!(statuses(&told), [200], "{upgrade}: {told}");
            assert_eq!(target.whole(&format!("/upgrade{number}")), 1, "{upgrade}");
        }
        target.is_unharmed().await;
    }
}

#[tokio::test]
async fn headers_of_a_connection_stop_here() {
    run(&[case(
        "hop_by_hop",
        "connection: x-a, keep-alive\r\nx-a: 1\r\nkeep-alive: 5\r\nte: trailers\r\ntrailer: y",
        "",
        &[200],
        1,
    )])
    .await;
}

#[tokio::test]
async fn what_is_no_http_is_not_answered_as_if_it_were() {
    let mut target = Target::with(SETTINGS).await;
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &noise(505)].concat();
    let ssh = b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec();
    let proxied = b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    let old = b"GET /smuggled\r\n\r\n".to_vec();
    let newer = b"GET /smuggled HTTP/3.0\r\nhost: a\r\n\r\n".to_vec();
    let random = (1..60).map(|number| noise(number * 97));
    for bytes in [hello, ssh, proxied, old, newer, b"\r\n\r\n\r\n".to_vec(), vec![0; 5000]].into_iter().chain(random) {
        let told = target.told(&bytes).await;
        assert!([&[400][..], &[]].contains(&&*statuses(&told)), "{}: {told}", bytes.escape_ascii());
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_client_that_ends_its_side_early_leaves_nothing_behind() {
    for mut target in Target::both().await {
        let post = "POST /v1/messages HTTP/1.1\r\nhost: a\r\n";
        for bytes in [
            String::new(),
            "GET /smug".to_owned(),
            "GET /x HTTP/1.1\r\nhost: a\r\n".to_owned(),
            format!("{post}content-length: 10\r\n\r\n{{}}"),
            format!("{post}transfer-encoding: chunked\r\n\r\n2\r\n{{"),
            format!("{post}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"),
        ] {
            let mut raw = connect(target.gateway.address()).await;
            raw.send(&bytes).await;
            raw.half_close().await;
            let told = soon(raw.to_end()).await;
            assert!(!told.starts_with(b"HTTP/1.1 200"), "{bytes}: {}", told.escape_ascii());
        }
        assert_eq!(target.whole("/v1/messages"), 0);
        target.is_unharmed().await;
    }
}
