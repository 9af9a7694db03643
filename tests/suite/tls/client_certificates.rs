//! Certificates of clients: who gets a connection, and what becomes known of whom.

use futures_util::{SinkExt, StreamExt};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tollgate::simulate;

use crate::harness::{Authority, Gateway, Issued, Origin, Raw, gateway, origin, soon, tls_over};

/// A listener that speaks TLS as these lines say, before an origin.
async fn start(tls: &str, authority: &Authority, clients: &Authority, origin: &Origin) -> Gateway {
    start_before(tls, authority, clients, &origin.server()).await
}

async fn start_before(tls: &str, authority: &Authority, clients: &Authority, server: &str) -> Gateway {
    let identity = authority.issue(&["a.test"]);
    let yaml = format!(
        "listeners:\n  - address: 127.0.0.1:0\n    tls:\n      certificates: [{{ certificate: a.pem, private_key: a.key \
         }}]\n{tls}upstreams: {{ origin: {{ servers: [{{ address: \"{server}\" }}] }} }}\nroutes: [{{ upstream: origin \
         }}]\n"
    );
    let builder = gateway().yaml(yaml).file("a.pem", identity.certificate).file("a.key", identity.key);
    builder.file("clients.pem", clients.pem()).start().await
}

fn of_client(authority: &Authority, name: &str) -> Issued {
    authority.issue_with(&[], |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    })
}

/// The status of an answer, or why there was none.
async fn ask(gateway: &Gateway, authority: &Authority, identity: Option<&Issued>) -> Result<u16, String> {
    let client = authority.client_as(identity, &[]);
    let stream = soon(TcpStream::connect(gateway.address())).await.unwrap();
    let stream = tls_over(stream, client, "a.test").await.map_err(|error| error.to_string())?;
    let mut raw = Raw::over(stream);
    // in TLS 1.3 a server that refuses a certificate says so behind the client's handshake
    raw.try_send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").await.map_err(|e| e.to_string())?;
    let answer = raw.to_end().await;
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
    status.ok_or_else(|| format!("no certificate was accepted: {text}"))
}

#[tokio::test]
async fn without_a_certificate_of_the_authorities_a_client_gets_no_connection() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let origin = origin().await;
    // required unless the YAML says otherwise
    for tls in ["      client_ca: clients.pem\n", "      client_ca: clients.pem\n      client_certificates: required\n"]
    {
        let gateway = start(tls, &authority, &clients, &origin).await;
        assert_eq!(ask(&gateway, &authority, Some(&of_client(&clients, "alice"))).await, Ok(200));
        for identity in [None, Some(&of_client(&stranger, "mallory"))] {
            let error = ask(&gateway, &authority, identity).await.unwrap_err();
            assert!(error.contains("alert") || error.contains("certificate"), "{error}");
        }
        // one for servers is none for clients
        let server = clients.issue_with(&["b.test"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        assert!(ask(&gateway, &authority, Some(&server)).await.is_err());
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_client_may_do_without_where_it_is_optional_but_a_wrong_one_is_refused() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let origin = origin().await;
    let tls = "      client_ca: clients.pem\n      client_certificates: optional\n";
    let gateway = start(tls, &authority, &clients, &origin).await;
    assert_eq!(ask(&gateway, &authority, None).await, Ok(200));
    assert_eq!(ask(&gateway, &authority, Some(&of_client(&clients, "alice"))).await, Ok(200));
    assert!(ask(&gateway, &authority, Some(&of_client(&stranger, "mallory"))).await.is_err());
}

/// A YAML whose listener accepts the clients that a file names.
fn with_named_clients(origin: &Origin) -> String {
    format!(
        "listeners:\n  - address: 127.0.0.1:0\n    tls: {{ certificates: [{{ certificate: a.pem, private_key: a.key }}], \
         client_ca: named.pem }}\nupstreams: {{ origin: {{ servers: [{{ address: \"{}\" }}] }} }}\nroutes: [{{ upstream: \
         origin }}]\n",
        origin.server()
    )
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_accepted_where_it_is_named() {
    let (authority, origin) = (Authority::new(), origin().await);
    let named = Issued::by_itself(&[], |params| params.distinguished_name.push(DnType::CommonName, "alice"));
    let other = Issued::by_itself(&[], |params| params.distinguished_name.push(DnType::CommonName, "alice"));
    let identity = authority.issue(&["a.test"]);
    let yaml = with_named_clients(&origin);
    let builder = gateway().yaml(yaml).file("a.pem", identity.certificate).file("a.key", identity.key);
    let gateway = builder.file("named.pem", named.certificate.as_str()).start().await;
    assert_eq!(ask(&gateway, &authority, Some(&named)).await, Ok(200));
    assert!(ask(&gateway, &authority, Some(&other)).await.is_err());
}

#[tokio::test]
async fn a_named_certificate_that_is_for_servers_alone_names_no_client() {
    let (authority, origin) = (Authority::new(), origin().await);
    let of_use = |usage| Issued::by_itself(&[], |params| params.extended_key_usages = vec![usage]);
    let (server, client) = (of_use(ExtendedKeyUsagePurpose::ServerAuth), of_use(ExtendedKeyUsagePurpose::ClientAuth));
    let identity = authority.issue(&["a.test"]);
    let yaml = with_named_clients(&origin);
    let named = format!("{}{}", server.certificate, client.certificate);
    let builder = gateway().yaml(yaml).file("a.pem", identity.certificate).file("a.key", identity.key);
    let gateway = builder.file("named.pem", named).start().await;
    assert_eq!(ask(&gateway, &authority, Some(&client)).await, Ok(200));
    assert!(ask(&gateway, &authority, Some(&server)).await.is_err());
}

#[tokio::test]
async fn the_caller_is_named_by_the_certificate() {
    let (authority, clients, origin) = (Authority::new(), Authority::new(), origin().await);
    let gateway = start("      client_ca: clients.pem\n", &authority, &clients, &origin).await;
    assert_eq!(ask(&gateway, &authority, Some(&of_client(&clients, "alice"))).await, Ok(200));
    let line = gateway.logged(|line| line["status"] == 200).await;
    assert_eq!(line["key_name"], "alice", "{line}");
}

#[tokio::test]
async fn each_call_on_a_websocket_is_named_by_the_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let simulator = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = simulator.local_addr().unwrap().to_string();
    tokio::spawn(simulate::serve(simulator, simulate::Settings::default()));
    // messages are read where a plugin wants to see them
    let settings = "      client_ca: clients.pem\nplugins: [{ max_tokens: { limit: 4000 } }]\n";
    let gateway = start_before(settings, &authority, &clients, &server).await;
    let client = authority.client_as(Some(&of_client(&clients, "alice")), &[]);
    let stream = soon(TcpStream::connect(gateway.address())).await.unwrap();
    let stream = tls_over(stream, client, "a.test").await.unwrap();
    let (mut socket, _) = soon(client_async("wss://a.test/v1/responses", stream)).await.unwrap();
    let create = r#"{"type":"response.create","model":"gpt-5","input":"hello"}"#;
    soon(socket.send(Message::text(create))).await.unwrap();
    while !soon(socket.next()).await.unwrap().unwrap().to_string().contains("response.completed") {}
    let line = gateway.logged(|line| line["endpoint"].is_string() && line["status"] == 200).await;
    assert_eq!((line["key_name"].as_str(), line["protocol"].as_str()), (Some("alice"), Some("websocket")), "{line}");
}
