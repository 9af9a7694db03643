//! Where a gateway cannot begin, it ends at once, and says why and where that is in the file.

use std::time::{Duration, Instant};

use crate::harness::{Authority, gateway, origin};

/// Well below the half minute for which one might be tempted to try again.
const SOON: Duration = Duration::from_secs(5);

/// Starts a gateway with this text, which must fail with this message at the place of `at`, and soon.
async fn fails(yaml: String, at: &str, message: &str) {
    let began = Instant::now();
    let line = 1 + yaml.lines().position(|line| line.contains(at)).unwrap();
    let column = 1 + yaml.lines().nth(line - 1).unwrap().find(at).unwrap();
    let exit = gateway().yaml(&yaml).start_fails().await;
    assert!(began.elapsed() < SOON, "took {:?}", began.elapsed());
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    let place = format!("tollgate.yaml:{line}:{column}: {message}");
    assert!(exit.stderr.contains(&place), "{}\nlacks {place}", exit.stderr);
    // with the line itself, and nothing to be taken for a start
    assert!(exit.stderr.contains(yaml.lines().nth(line - 1).unwrap()), "{}", exit.stderr);
    assert_eq!(exit.stdout, "");
    assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
}

#[tokio::test]
async fn an_address_in_use_ends_the_start() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let text = gateway().upstream(&origin().await).text();
    let taken = format!("\"{address}\"");
    let text = text.replacen("listeners: [", &format!("listeners: [{{ address: {taken} }}, "), 1);
    fails(text, &taken, &format!("listeners[0].address: cannot listen on {address}: ")).await;
}

#[tokio::test]
async fn an_address_that_is_not_this_machines_ends_the_start() {
    let text = gateway().upstream(&origin().await).text();
    // a network that is for documentation alone (RFC 5737)
    let text = text.replacen("127.0.0.1:0", "192.0.2.1:80", 1);
    fails(text, "\"192.0.2.1:80\"", "listeners[0].address: cannot listen on 192.0.2.1:80: ").await;
}

#[tokio::test]
async fn a_certificate_that_is_missing_ends_the_start() {
    let text = gateway().upstream(&origin().await).text();
    let certificates = "certificates: [{ certificate: none.pem, private_key: none.key }]";
    let text = text.replacen("0\" }", &format!("0\", tls: {{ {certificates} }} }}"), 1);
    fails(text, "none.pem", "listeners[0].tls").await;
}

#[tokio::test]
async fn a_key_of_another_certificate_ends_the_start() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let builder = gateway().upstream(&origin().await).file("a.pem", one.certificate).file("b.key", other.key);
    let certificates = "certificates: [{ certificate: a.pem, private_key: b.key }]";
    let text = builder.text().replacen("0\" }", &format!("0\", tls: {{ {certificates} }} }}"), 1);
    let exit = builder.yaml(&text).start_fails().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("tollgate.yaml:1:"), "{}", exit.stderr);
    assert!(exit.stderr.contains("b.key") && exit.stderr.contains("a.pem"), "{}", exit.stderr);
}

#[tokio::test]
async fn an_access_log_that_cannot_be_written_ends_the_start() {
    let builder = gateway().upstream(&origin().await).settings("access_log: { path: no/such/folder/access.log }");
    let exit = builder.start_fails().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("access_log.path") && exit.stderr.contains("no/such/folder"), "{}", exit.stderr);
}
