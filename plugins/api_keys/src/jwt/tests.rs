//! Tokens that are taken and tokens that are not, with keys in a file and without a socket.

mod signer;

use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use signer::{Signer, base64};

/// A folder with a file of keys.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("api_keys-jwt-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn publish(&self, keys: &[Value]) {
        let new = self.0.join("new");
        fs::write(&new, json!({ "keys": keys }).to_string()).unwrap();
        fs::rename(new, self.0.join("keys.json")).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(more: &Value) -> JwtConfig {
    let mut config =
        json!({ "jwks": "keys.json", "issuer": "https://idp.test", "audience": "tollgate", "tenant": "org" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: JwtConfig = serde_json::from_value(config).unwrap();
    config.check().unwrap();
    config
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims of alice that are all right, with these in the place of some.
fn claims(more: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp.test", "aud": ["other", "tollgate"], "sub": "alice", "org": "team-a", "exp": now() + 600,
        "nbf": now(), "models": ["claude-*"],
    });
    let claims_of = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            claims_of.remove(name);
        } else {
            claims_of.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn header(algorithm: &str, key: &str) -> Value {
    json!({ "alg": algorithm, "typ": "JWT", "kid": key })
}

#[tokio::test]
async fn a_token_of_each_algorithm_says_who_calls_and_is_verified_once() {
    let folder = Folder::new("algorithms");
    let all = [
        ("RS256", "rsa", Signer::rsa()),
        ("PS256", "rsa", Signer::rsa()),
        ("ES256", "ec", Signer::p256()),
        ("EdDSA", "ed", Signer::ed25519()),
    ];
    let unusable = [json!({ "kty": "oct", "kid": "oct", "k": "c2VjcmV0" }), json!({ "kty": "RSA" }), json!(5)];
    let published: Vec<_> = all[1..].iter().map(|(_, name, signer)| signer.jwk(name)).chain(unusable).collect();
    folder.publish(&published);
    let verifier = Verifier::start(&config(&json!({ "models": "models" })), &folder.0).unwrap();
    for (algorithm, name, signer) in &all {
        let token = signer.token(&header(algorithm, name), &claims(&json!({})));
        assert!(looks_like_token(token.as_bytes()));
        let identity = verifier.verify(token.as_bytes()).await.unwrap();
        assert_eq!((&*identity.name, identity.tenant.as_deref()), ("alice", Some("team-a")), "{algorithm}");
        assert!(identity.grants.allow_model("claude-opus-5") && !identity.grants.allow_model("gpt-5"));
        assert!(Arc::ptr_eq(&identity, &verifier.verify(token.as_bytes()).await.unwrap()), "{algorithm}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_for_here_and_now_is_refused_by_the_word_for_why() {
    let folder = Folder::new("claims");
    let signer = Signer::ed25519();
    folder.publish(&[signer.jwk("ed")]);
    let verifier = Verifier::start(&config(&json!({})), &folder.0).unwrap();
    for (more, fault) in [
        (json!({ "exp": now() - 31 }), TokenFault::Expired),
        (json!({ "exp": -5 }), TokenFault::Expired),
        (json!({ "exp": null }), TokenFault::Claim("exp".into())),
        (json!({ "exp": "never" }), TokenFault::Malformed),
        (json!({ "nbf": now() + 100 }), TokenFault::Early),
        (json!({ "iss": "https://idp.test/" }), TokenFault::Issuer),
        (json!({ "iss": null }), TokenFault::Issuer),
        (json!({ "iss": ["https://idp.test"] }), TokenFault::Issuer),
        (json!({ "aud": "other" }), TokenFault::Audience),
        (json!({ "aud": [] }), TokenFault::Audience),
        (json!({ "aud": null }), TokenFault::Audience),
        (json!({ "sub": null }), TokenFault::Claim("sub".into())),
        (json!({ "sub": "" }), TokenFault::Claim("sub".into())),
        (json!({ "sub": "a\nb" }), TokenFault::Claim("sub".into())),
        (json!({ "sub": { "name": "alice" } }), TokenFault::Claim("sub".into())),
        (json!({ "org": null }), TokenFault::Claim("org".into())),
    ] {
        let token = signer.token(&header("EdDSA", "ed"), &claims(&more));
        assert_eq!(verifier.verify(token.as_bytes()).await.unwrap_err(), fault, "{more}");
    }
    // clocks may differ a little
    for more in
        [json!({ "exp": now() - 20 }), json!({ "nbf": now() + 20 }), json!({ "aud": "tollgate" }), json!({ "sub": 7 })]
    {
        let token = signer.token(&header("EdDSA", "ed"), &claims(&more));
        assert!(verifier.verify(token.as_bytes()).await.is_ok(), "{more}");
    }
}

#[tokio::test]
async fn a_token_that_its_provider_has_not_signed_is_refused() {
    let folder = Folder::new("forged");
    let (rsa, ec, stranger) = (Signer::rsa(), Signer::p256(), Signer::p256());
    folder.publish(&[rsa.jwk("rsa"), ec.jwk("ec")]);
    let verifier = Verifier::start(&config(&json!({ "timeout": "10ms" })), &folder.0).unwrap();
    let good = ec.token(&header("ES256", "ec"), &claims(&json!({})));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let other_claims = format!("{head}.{}.{signature}", base64(claims(&json!({ "sub": "root" })).to_string()));
    // as if the public key were a secret that both know
    let public = rsa.jwk("rsa")["n"].as_str().unwrap().to_owned();
    let by_secret = {
        let signed =
            format!("{}.{}", base64(header("HS256", "rsa").to_string()), base64(claims(&json!({})).to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
        format!("{signed}.{}", base64(ring::hmac::sign(&key, signed.as_bytes())))
    };
    let none = format!("{}.{}.", base64(header("none", "ec").to_string()), base64(claims(&json!({})).to_string()));
    let critical = ec.token(&json!({ "alg": "ES256", "kid": "ec", "crit": ["b64"] }), &claims(&json!({})));
    for (what, token, fault) in [
        ("other claims", other_claims, TokenFault::Signature),
        ("no signature", format!("{signed}."), TokenFault::Signature),
        ("another's signature", stranger.token(&header("ES256", "ec"), &claims(&json!({}))), TokenFault::Signature),
        ("a key of another kind", rsa.token(&header("RS256", "ec"), &claims(&json!({}))), TokenFault::Signature),
        ("another algorithm", rsa.token(&header("PS256", "ec"), &claims(&json!({}))), TokenFault::Signature),
        ("a key that nobody has", ec.token(&header("ES256", "other"), &claims(&json!({}))), TokenFault::UnknownKey),
        ("no name of a key", ec.token(&json!({ "alg": "ES256" }), &claims(&json!({}))), TokenFault::UnknownKey),
        ("none", none, TokenFault::Algorithm),
        ("HS256", by_secret, TokenFault::Algorithm),
        ("an extension", critical, TokenFault::Algorithm),
        ("four parts", format!("{good}.x"), TokenFault::Malformed),
        ("no Base64", format!("{signed}.*"), TokenFault::Malformed),
        ("too long", format!("{signed}.{}", "A".repeat(20_000)), TokenFault::Malformed),
    ] {
        assert_eq!(verifier.verify(token.as_bytes()).await.unwrap_err(), fault, "{what}");
    }
    assert!(verifier.verify(good.as_bytes()).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_taken_out_ends_its_tokens_and_a_broken_file_ends_none() {
    let folder = Folder::new("rotates");
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    folder.publish(&[old.jwk("old")]);
    let verifier = Verifier::start(&config(&json!({})), &folder.0).unwrap();
    let of = |signer: &Signer, name: &str| signer.token(&header("EdDSA", name), &claims(&json!({})));
    let (by_old, by_new) = (of(&old, "old"), of(&new, "new"));
    assert!(verifier.verify(by_old.as_bytes()).await.is_ok());
    // its keys are read again for a token whose key is not known
    folder.publish(&[old.jwk("old"), new.jwk("new")]);
    assert!(verifier.verify(by_new.as_bytes()).await.is_ok());
    folder.publish(&[new.jwk("new")]);
    let began = Instant::now();
    while verifier.verify(by_old.as_bytes()).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fs::write(folder.0.join("keys.json"), "broken").unwrap();
    let began = Instant::now();
    while verifier.stale_for().is_zero() {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(verifier.verify(by_new.as_bytes()).await.is_ok());
}

#[tokio::test]
async fn without_the_providers_keys_no_token_can_be_checked() {
    let signer = Signer::ed25519();
    let config = config(&json!({ "jwks": "http://127.0.0.1:1/keys", "timeout": "10s" }));
    let verifier = Verifier::start(&config, &std::env::temp_dir()).unwrap();
    let token = signer.token(&header("EdDSA", "ed"), &claims(&json!({})));
    assert_eq!(verifier.verify(token.as_bytes()).await.unwrap_err(), TokenFault::NoKeys);
    assert!(verifier.is_of(&config, &std::env::temp_dir()));
}

#[test]
fn settings_by_which_no_token_could_be_taken_are_errors() {
    let problem = |more: Value| {
        let mut config = json!({ "jwks": "keys.json", "issuer": "i", "audience": "a" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<JwtConfig>(config).unwrap().check().unwrap_err()
    };
    for (more, words) in [
        (json!({ "jwks": "ftp://idp/keys" }), "`jwt.jwks` is neither a URL"),
        (json!({ "jwks": "" }), "`jwt.jwks` is empty"),
        (json!({ "issuer": " " }), "`jwt.issuer` is empty"),
        (json!({ "audience": "" }), "`jwt.audience` is empty"),
        (json!({ "tenant": "" }), "`jwt.tenant` is empty"),
        (json!({ "refresh": "10ms" }), "below 1s"),
        (json!({ "timeout": "1m" }), "at most 10s"),
        (json!({ "leeway": "1h" }), "at most 5m"),
    ] {
        let problem = problem(more);
        assert!(problem.contains(words), "{problem}");
    }
    let folder = Folder::new("check");
    let config = config(&json!({}));
    assert!(config.check_file(&folder.0).unwrap_err().contains("keys.json"));
    folder.publish(&[json!({ "kty": "oct", "k": "c2VjcmV0" })]);
    assert!(config.check_file(&folder.0).unwrap_err().contains("none of its keys"));
    folder.publish(&[Signer::p256().jwk("a")]);
    assert!(config.check_file(&folder.0).is_ok());
}

#[test]
fn keys_of_ours_do_not_look_like_tokens() {
    for (text, expected) in
        [("eyJhbGciOiJub25lIn0.e30.", true), ("tg_eyJ.a.b", false), ("eyJ.a", false), ("a.b.c", false)]
    {
        assert_eq!(looks_like_token(text.as_bytes()), expected, "{text}");
    }
}
