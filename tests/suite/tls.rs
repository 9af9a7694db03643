//! TLS listeners: which certificate a client sees, in which protocol it then speaks, and what is said of files that are
//! of no use.

mod client_certificates;
mod named_leaf;
mod renewed;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use rcgen::date_time_ymd;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::harness::{
    Authority, Gateway, Issued, Origin, Raw, connect, connect_tls, eventually, gateway, origin, soon,
};

#[tokio::test]
async fn a_client_sees_the_certificate_of_the_name_it_asks_for() {
    let (authority, origin) = (Authority::new(), origin().await);
    // found by its address, where no name is asked for
    let first = authority.issue(&["first.test", "127.0.0.1"]);
    let wildcard = authority.issue(&["*.example.test"]);
    let exact = authority.issue(&["api.example.test"]);
    let files = [("first", &first), ("wildcard", &wildcard), ("exact", &exact)];
    let gateway = start(&files, &origin).await;

    for (name, presented) in [
        ("first.test", &first),
        ("api.example.test", &exact),
        ("API.Example.Test", &exact),
        ("chat.example.test", &wildcard),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(seen(gateway.address(), &authority, name).await.unwrap(), der(presented), "{name}");
    }
    // the first of the list stands in, which is not for these names
    for name in ["a.b.example.test", "example.test", "elsewhere.test"] {
        let error = seen(gateway.address(), &authority, name).await.unwrap_err().to_string();
        assert!(error.contains("first.test") && error.contains(name), "{error}");
    }
}

#[tokio::test]
async fn http_1_and_http_2_are_chosen_in_the_handshake() {
    let (authority, origin) = (Authority::new(), origin().await);
    let files = [("a", &authority.issue(&["a.test"]))];
    let gateway = start(&files, &origin).await;

    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = connect_tls(gateway.address(), &authority, "a.test", offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken.map(str::as_bytes), "{offered:?}");
        if spoken == Some("h2") {
            let (mut requests, connection) = soon(h2::client::handshake(stream)).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::get("https://a.test/h2").body(()).unwrap();
            let (answer, _) = requests.send_request(request, true).unwrap();
            assert_eq!(soon(answer).await.unwrap().status(), 200);
        } else {
            assert_eq!(ask(&mut Raw::over(stream)).await, 200);
        }
    }
    let received = origin.requests();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|request| request.header("x-forwarded-proto") == Some("https")));
}

#[tokio::test]
async fn after_a_reload_the_next_handshake_sees_the_new_certificate_and_open_connections_go_on() {
    let (authority, origin) = (Authority::new(), origin().await);
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let files = [("a", &old)];
    let gateway = start(&files, &origin).await;
    let mut open = Raw::over(connect_tls(gateway.address(), &authority, "a.test", &[]).await.unwrap());
    assert_eq!(ask(&mut open).await, 200);

    // half of the pair is no pair, and changes nothing
    fs::write(gateway.folder().join("a.pem"), &new.certificate).unwrap();
    gateway.signal(Signal::SIGHUP);
    gateway.says("configuration not reloaded").await;
    assert_eq!(seen(gateway.address(), &authority, "a.test").await.unwrap(), der(&old));

    fs::write(gateway.folder().join("a.key"), &new.key).unwrap();
    gateway.signal(Signal::SIGHUP);
    eventually("the new certificate", async || {
        seen(gateway.address(), &authority, "a.test").await.unwrap() == der(&new)
    })
    .await;
    assert_eq!(ask(&mut open).await, 200);
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_disturbs_nobody() {
    let (authority, origin) = (Authority::new(), origin().await);
    let files = [("a", &authority.issue(&["a.test"]))];
    let gateway = start(&files, &origin).await;

    let mut plain = connect(gateway.address()).await;
    plain.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    let told = plain.to_end().await;
    // an alert, if anything, but no HTTP
    assert!(!told.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&told));
    assert!(seen(gateway.address(), &authority, "a.test").await.is_ok());
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_gateway_does_not_start_with_a_certificate_that_is_of_no_use() {
    let (authority, origin) = (Authority::new(), origin().await);
    let (certificate, key) = (authority.issue(&["a.test"]).certificate, authority.issue(&["b.test"]).key);
    let mixed = Issued { certificate: certificate.clone(), key: key.clone() };
    let gateway = gateway().yaml(yaml(&[("a", &mixed)], &origin)).file("a.pem", certificate).file("a.key", key);
    let exit = gateway.start_fails().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(!exit.stdout.contains("listening on"), "{}", exit.stdout);
    let place = "tollgate.yaml:5:46: listeners[0].tls";
    assert!(exit.stderr.contains(place) && exit.stderr.contains("does not belong to"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_gateway_starts_with_a_certificate_out_of_date_and_says_so() {
    let (authority, origin) = (Authority::new(), origin().await);
    let files = [("old", &expired(&authority))];
    let gateway = start(&files, &origin).await;
    gateway.says("expired on 2002-03-04").await;
    let error = seen(gateway.address(), &authority, "old.test").await.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn when_a_certificate_expires_is_a_metric_and_a_reload_changes_it() {
    let (authority, origin) = (Authority::new(), origin().await);
    let (old, new) = (expired(&authority), authority.issue(&["new.test"]));
    let builder = gateway().yaml(yaml(&[("a", &old), ("b", &new)], &origin) + "admin: { address: 127.0.0.1:0 }\n");
    let builder = builder.file("a.pem", old.certificate.as_str()).file("a.key", old.key.as_str());
    let gateway = builder.file("b.pem", new.certificate.as_str()).file("b.key", new.key.as_str()).start().await;
    let listener = gateway.address().to_string();
    let left = async |certificate: &str| {
        let labels = [("certificate", certificate), ("listener", &*listener)];
        let metrics = gateway.metrics().await;
        assert!(metrics.has("tollgate_certificate_expiry_seconds", &labels), "{metrics:?}");
        metrics.sum("tollgate_certificate_expiry_seconds", &labels)
    };
    let since_2002 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - 1_015_200_000.0;
    assert!((left("a.pem").await + since_2002).abs() < 60.0, "{}", left("a.pem").await);
    assert!(left("b.pem").await > 86_400.0);

    fs::write(gateway.folder().join("a.pem"), &new.certificate).unwrap();
    fs::write(gateway.folder().join("a.key"), &new.key).unwrap();
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    assert!((left("a.pem").await - left("b.pem").await).abs() < 60.0);
}

#[tokio::test]
async fn check_tells_every_file_that_is_of_no_use_at_its_line() {
    let (authority, origin) = (Authority::new(), origin().await);
    let good = authority.issue(&["a.test"]);
    let mixed = Issued { certificate: good.certificate.clone(), key: authority.issue(&["b.test"]).key };
    let words = Issued { certificate: "hello".into(), key: "hello".into() };
    let files = [("good", &good), ("mixed", &mixed), ("words", &words), ("old", &expired(&authority))];
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("check-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, issued) in files {
        fs::write(folder.join(format!("{name}.pem")), &issued.certificate).unwrap();
        fs::write(folder.join(format!("{name}.key")), &issued.key).unwrap();
    }
    let check = |names: &[(&str, &Issued)]| {
        let file = folder.join("tollgate.yaml");
        fs::write(&file, yaml(names, &origin)).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["check", "-c"]).arg(&file).output().unwrap();
        let told = String::from_utf8(checked.stderr).unwrap();
        let errors: Vec<String> =
            told.lines().filter_map(|line| line.strip_prefix(file.to_str()?)).map(str::to_owned).collect();
        (checked.status.code(), errors)
    };

    assert_eq!(check(&[("good", &good)]), (Some(0), Vec::new()));
    // one a line, from line 5 on; the certificate's file begins at column 26
    let (code, errors) = check(&[("none", &good), ("mixed", &mixed), ("words", &words)]);
    assert_eq!(code, Some(1));
    for (error, (place, what)) in errors.iter().zip([
        (":5:26: listeners[0].tls.certificates[0].certificate: ", "none.pem: cannot be read"),
        (":5:49: listeners[0].tls.certificates[0].private_key: ", "none.key: cannot be read"),
        (":6:50: listeners[0].tls.certificates[1].private_key: ", "does not belong to the certificate in "),
        (":7:26: listeners[0].tls.certificates[2].certificate: ", "words.pem: found no certificate"),
        (":7:50: listeners[0].tls.certificates[2].private_key: ", "words.key: found no private key"),
    ]) {
        assert!(error.starts_with(place) && error.contains(what), "{error}");
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");

    let (code, errors) = check(&[("good", &good), ("old", &good)]);
    assert_eq!((code, errors.len()), (Some(1), 1), "{errors:#?}");
    let place = ":6:26: listeners[0].tls.certificates[1].certificate: ";
    assert!(errors[0].starts_with(place) && errors[0].contains("`old.test` expired on 2002-03-04"), "{errors:#?}");
    let _ = fs::remove_dir_all(folder);
}

/// A TLS listener with these certificates, one a line from line 5 on, before an origin.
fn yaml(files: &[(&str, &Issued)], origin: &Origin) -> String {
    let pair =
        |(name, _): &(&str, &Issued)| format!("        - {{ certificate: {name}.pem, private_key: {name}.key }}\n");
    let pairs: String = files.iter().map(pair).collect();
    format!(
        "listeners:\n  - address: 127.0.0.1:0\n    tls:\n      certificates:\n{pairs}upstreams: {{ origin: {{ servers: [{{ \
         address: \"{}\" }}] }} }}\nroutes: [{{ upstream: origin }}]\n",
        origin.server()
    )
}

/// A gateway with this listener, and the files it names.
async fn start(files: &[(&str, &Issued)], origin: &Origin) -> Gateway {
    let mut gateway = gateway().yaml(yaml(files, origin));
    for (name, issued) in files {
        gateway = gateway.file(&format!("{name}.pem"), issued.certificate.as_str());
        gateway = gateway.file(&format!("{name}.key"), issued.key.as_str());
    }
    gateway.start().await
}

fn expired(authority: &Authority) -> Issued {
    authority.issue_with(&["old.test"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 3, 4);
    })
}

/// The certificate that a client of this authority sees.
async fn seen(to: SocketAddr, authority: &Authority, name: &str) -> std::io::Result<CertificateDer<'static>> {
    let stream = connect_tls(to, authority, name, &[]).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    Ok(certificates[0].clone().into_owned())
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// The status of the answer to a request, after which the connection stays open.
async fn ask(connection: &mut Raw) -> u16 {
    connection.send("GET /h1 HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    connection.answer().await.status
}
