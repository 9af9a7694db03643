//! Callers with tokens of an identity provider, whose keys come by HTTPS, rotate, hang and are away.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::harness::{Alpn, Authority, Folder, Origin, Script, gate, tls_origin};

/// A key pair of a provider.
struct Signer(Ed25519KeyPair, &'static str);

impl Signer {
    fn new(name: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap(), name)
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.1, "x": URL_SAFE_NO_PAD.encode(self.0.public_key()) })
    }

    /// A token for this gateway of this caller, which expires so many seconds from now.
    fn token(&self, name: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let header = json!({ "alg": "EdDSA", "kid": self.1 });
        let claims = json!({ "iss": "idp", "aud": "tollgate", "sub": name, "org": "team-a", "exp": now + seconds });
        let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
    }
}

fn document(signers: &[&Signer]) -> Script {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    answer(200).header("content-type", "application/json").body(json!({ "keys": keys }).to_string())
}

/// A gateway that takes tokens by the keys at this URL, and its upstream.
async fn taking(url: &str, variables: &[(&str, String)], more: &str) -> (Origin, Gateway) {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let plugin = format!(
        "plugins:\n  - api_keys:\n      jwt: {{ jwks: \"{url}\", issuer: idp, audience: tollgate, tenant: org, timeout: 5s }}\n{more}"
    );
    let builder = gateway().upstream(&origin).settings(&plugin);
    let builder = variables.iter().fold(builder, |builder, (name, value)| builder.variable(name, value));
    (origin, builder.start().await)
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let mut client = client(gateway, false).await;
    post(&mut client, "/v1/messages", ("authorization", &bearer), CALL).await.status.as_u16()
}

#[tokio::test]
async fn a_token_says_who_calls_stays_behind_and_is_told_nowhere() {
    let authority = Authority::new();
    let signer = Signer::new("one");
    let provider = tls_origin(&authority, &["localhost"], Alpn::Http1).await;
    provider.answers(document(&[&signer]));
    let url = format!("https://localhost:{}/keys", provider.address().port());
    let folder = Folder::new();
    let file = folder.path().join("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    let trusted = ("SSL_CERT_FILE", file.display().to_string());
    let (origin, gateway) = taking(&url, &[trusted], "").await;
    let (good, old) = (signer.token("alice", 600), signer.token("alice", -600));
    let mut told = String::new();
    for is_h2 in [false, true] {
        for (token, expected) in [(&good, 200), (&old, 401)] {
            let bearer = format!("Bearer {token}");
            let headers = ("authorization", bearer.as_str());
            let answer = post(&mut client(&gateway, is_h2).await, "/v1/messages", headers, CALL).await;
            assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
            told += &answer.text();
        }
    }
    assert!(told.contains("has expired. Get a new one"), "{told}");
    let line = gateway.logged(|line| line["status"] == 200).await;
    assert_eq!((&line["key_name"], &line["tenant"]), (&json!("alice"), &json!("team-a")));
    assert_eq!(origin.count(), 2);
    for request in origin.requests() {
        assert!(request.headers.iter().all(|(name, _)| name != "authorization"));
    }
    eventually("a line for each", async || gateway.access_log().len() == 4).await;
    told += &format!("{:?} {}", gateway.access_log(), gateway.stderr());
    told += &shown(&gateway, "/metrics").await;
    for token in [&good, &old] {
        let signature = token.rsplit_once('.').unwrap().1;
        assert!(!told.contains(signature) && !told.contains(&token[..60]), "{told}");
    }
    // the keys were read once, and each token was asked nobody about
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn keys_that_rotate_are_read_for_the_first_token_and_serve_on_while_the_provider_hangs_or_is_away() {
    let (first, second, third) = (Signer::new("one"), Signer::new("two"), Signer::new("three"));
    let provider = origin().await;
    provider.answers(document(&[&first]));
    let (_origin, gateway) = taking(&format!("http://{}/keys", provider.address()), &[], "").await;
    assert_eq!(status(&gateway, &first.token("alice", 600)).await, 200);
    provider.answers(document(&[&first, &second]));
    assert_eq!(status(&gateway, &second.token("alice", 600)).await, 200);
    assert_eq!(provider.count(), 2);
    // made-up names of keys do not make it ask again and again
    for _ in 0..20 {
        assert_eq!(status(&gateway, &third.token("mallory", 600)).await, 401);
    }
    assert!(provider.count() <= 3, "{}", provider.count());
    let never = gate();
    provider.answers(sse().event("hangs").wait(&never).end());
    for name in ["bob", "carol"] {
        assert_eq!(status(&gateway, &first.token(name, 600)).await, 200);
        assert_eq!(status(&gateway, &second.token(name, 600)).await, 200);
    }
    provider.stop().await;
    assert_eq!(status(&gateway, &second.token("dave", 600)).await, 200);
}

#[tokio::test]
async fn a_gateway_starts_without_the_provider_and_says_so_until_it_is_there() {
    let signer = Signer::new("one");
    let provider = origin().await;
    let address = provider.stop().await;
    let (key, line) = new_key("bob", &[]);
    let keys = format!("      keys:\n        {line}\n");
    let (_origin, gateway) = taking(&format!("http://{address}/keys"), &[], &keys).await;
    let bearer = format!("Bearer {}", signer.token("alice", 600));
    let answer = post(&mut client(&gateway, false).await, "/v1/messages", ("authorization", &bearer), CALL).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    let began = Instant::now();
    assert_eq!(status(&gateway, &key).await, 200);
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "keys need no provider");
    assert!(gateway.metrics().await.sum("tollgate_jwks_stale_seconds", &[]) >= 0.0);
    let provider = Origin::again(address);
    provider.answers(document(&[&signer]));
    eventually("its keys", async || status(&gateway, &signer.token("alice", 600)).await == 200).await;
}
