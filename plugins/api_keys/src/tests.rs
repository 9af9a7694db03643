//! The plugin as the gateway runs it, on heads and calls made for it.

use std::fmt::Debug;
use std::sync::LazyLock;

use plugin_api::http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use plugin_api::testing::{self, TestCall, batch, context, not_a_call, unreadable};
use plugin_api::{Endpoint, HeaderEdits, ModelCall, Protocol, Refusal, RefusalKind, RequestHead};

use super::*;

const ALICE: &str = "tg_Alice1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ALICE_NEW: &str = "tg_Alice2bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const CLAUDE: &str = "tg_Claude1ccccccccccccccccccccccccccccccc";
const LATE: &str = "tg_Late00ddddddddddddddddddddddddddddddddd";
const ELSEWHERE: &str = "tg_Elsewheeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const STRANGER: &str = "tg_Strangffffffffffffffffffffffffffffffff";

fn config(more: &str) -> Config {
    let digest = |key: &str| Digest::of(key.as_bytes());
    let json = format!(
        r#"{{"keys":[
            {{"name":"alice","sha256":["{}","{}"],"tenant":"team-a","limits":{{"tokens":"100000/m"}}}},
            {{"name":"claude-only","sha256":"{}","models":["claude-*"]}},
            {{"name":"late","sha256":"{}","expires":"2020-01-01"}},
            {{"name":"elsewhere","sha256":"{}","routes":["other"]}}
        ]{more}}}"#,
        digest(ALICE),
        digest(ALICE_NEW),
        digest(CLAUDE),
        digest(LATE),
        digest(ELSEWHERE),
    );
    serde_json::from_str(&json).unwrap()
}

fn plugin(more: &str) -> ApiKeys {
    let config = config(more);
    ApiKeys::check(&config).unwrap();
    ApiKeys::build(
        &config,
        &BuildContext {
            base: Path::new(""),
            shared: &Arc::default(),
            secrets: &Default::default(),
            common: &Arc::default(),
        },
    )
    .unwrap()
}

/// What a request is made of.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    context: Context,
}

impl Head {
    fn new(method: Method, target: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let mut context = context();
        context.route = Some("main".into());
        Self { method, uri: target.parse().unwrap(), headers: map, context }
    }

    /// What the plugin says to it, and the headers that it takes away.
    async fn through(&mut self, plugin: &ApiKeys) -> (Result<(), Box<Refusal>>, Vec<String>) {
        let is_post = self.method == Method::POST;
        let is_websocket = self.headers.contains_key("upgrade");
        let mut request = Request {
            context: &mut self.context,
            head: RequestHead {
                method: &self.method,
                target: self.uri.path().as_bytes(),
                path: self.uri.path(),
                version: Version::HTTP_11,
                host: "test.example",
                server_name: "test.example",
                headers: &self.headers,
            },
            uri: &self.uri,
            upstream: "test",
            models: &Default::default(),
            endpoint: Endpoint::of(self.uri.path()).filter(|_| is_post),
            protocol: Protocol::ANTHROPIC,
            // as the gateway does where a plugin needs bodies
            reads_messages: is_websocket && Endpoint::of_websocket(self.uri.path()).is_some(),
            edits: HeaderEdits::default(),
        };
        let flow = testing::on_request(plugin, &mut (), &mut request).await;
        let removed = request.edits.iter().map(|edit| match edit {
            plugin_api::HeaderEdit::Remove(name) => name.to_string(),
            other @ (plugin_api::HeaderEdit::Set(..) | plugin_api::HeaderEdit::Append(..)) => panic!("{other:?}"),
        });
        (outcome(flow), removed.collect())
    }
}

fn outcome(flow: Flow) -> Result<(), Box<Refusal>> {
    match flow {
        Flow::Continue => Ok(()),
        Flow::Refuse(refusal) => Err(refusal),
        Flow::Answer(reply) => panic!("{reply:?}"),
    }
}

fn reason<T: Debug>(outcome: Result<T, Box<Refusal>>) -> &'static str {
    outcome.err().map_or("", |refusal| refusal.reason())
}

async fn post(plugin: &ApiKeys, headers: &[(&'static str, &str)]) -> (Result<(), Box<Refusal>>, Vec<String>, Context) {
    let mut head = Head::new(Method::POST, "/v1/messages", headers);
    let (outcome, removed) = head.through(plugin).await;
    (outcome, removed, head.context)
}

#[tokio::test]
async fn a_key_says_who_calls_and_stays_behind() {
    let plugin = plugin("");
    for headers in [
        &[("x-api-key", ALICE)][..],
        &[("authorization", &format!("Bearer {ALICE}"))],
        &[("authorization", &format!("Bearer {ALICE_NEW}")), ("x-api-key", ALICE_NEW)],
    ] {
        let (outcome, removed, context) = post(&plugin, headers).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(removed.len(), headers.len());
        assert!(headers.iter().all(|(name, _)| removed.iter().any(|removed| removed == name)));
        let principal = context.principal();
        assert_eq!((principal.key_name.as_deref(), principal.tenant.as_deref()), (Some("alice"), Some("team-a")));
        assert_eq!(principal.grants.as_ref().unwrap().quota.tokens, Some("100000/m".parse().unwrap()));
    }
}

#[tokio::test]
async fn who_has_no_good_key_is_refused_and_no_word_of_it_is_a_key() {
    let plugin = plugin("");
    let both = [("authorization", format!("Bearer {ALICE}")), ("x-api-key", ALICE_NEW.to_owned())];
    let both = both.each_ref().map(|(name, value)| (*name, value.as_str()));
    for (headers, expected, kind) in [
        (&[][..], "no_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", " ")], "no_key", RefusalKind::Unauthenticated),
        (&[("x-team-key", ALICE)], "no_key", RefusalKind::Unauthenticated),
        (&both, "ambiguous_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", STRANGER)], "unknown_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", "sk-ant-api03-somebody-elses")], "unknown_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", &ALICE[..ALICE.len() - 1])], "unknown_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", LATE)], "expired_key", RefusalKind::Unauthenticated),
        (&[("x-api-key", ELSEWHERE)], "route_not_allowed", RefusalKind::Forbidden),
    ] {
        let (outcome, _, context) = post(&plugin, headers).await;
        let refusal = outcome.unwrap_err();
        assert_eq!((refusal.reason(), refusal.kind()), (expected, kind), "{headers:?}");
        let told = format!("{refusal:?} {context:?}");
        for (_, value) in headers.iter().filter(|(_, value)| value.len() > 10) {
            let key = value.trim_start_matches("Bearer ");
            assert!(!told.contains(key) && !told.contains(&key[9..]), "{told}");
        }
    }
    let (outcome, ..) = post(&plugin, &[("x-api-key", STRANGER)]).await;
    assert!(outcome.unwrap_err().message().contains("`tg_Strang…`"), "the public part tells which one it was");
}

#[tokio::test]
async fn whoever_has_no_key_may_pass_but_nobody_with_a_wrong_one() {
    let plugin = plugin(r#","anonymous":"pass""#);
    let (outcome, removed, context) = post(&plugin, &[]).await;
    assert!(outcome.is_ok() && removed.is_empty());
    assert_eq!(context.principal().key_name, None);
    assert_eq!(reason(post(&plugin, &[("x-api-key", STRANGER)]).await.0), "unknown_key");
    assert_eq!(reason(post(&plugin, &[("x-api-key", LATE)]).await.0), "expired_key");
}

#[tokio::test]
async fn a_header_of_its_own_leaves_the_clients_credentials_to_the_upstream() {
    let plugin = plugin(r#","header":"x-tollgate-key""#);
    let theirs = ("authorization", "Bearer sk-ant-theirs");
    let (outcome, removed, context) = post(&plugin, &[theirs, ("x-tollgate-key", ALICE)]).await;
    assert!(outcome.is_ok());
    assert_eq!((removed, context.principal().key_name.as_deref()), (vec!["x-tollgate-key".to_owned()], Some("alice")));
    let (outcome, ..) = post(&plugin, &[theirs, ("x-api-key", ALICE)]).await;
    assert!(outcome.unwrap_err().message().contains("`x-tollgate-key`"));
}

#[tokio::test]
async fn claude_codes_greeting_needs_no_key_and_nothing_else_goes_without() {
    let plugin = plugin("");
    for (method, target, expected) in [
        (Method::HEAD, "/api/hello", ""),
        (Method::GET, "/api/hello", "no_key"),
        (Method::HEAD, "/api/hello/", "no_key"),
        (Method::HEAD, "/v1/models", "no_key"),
    ] {
        assert_eq!(reason(Head::new(method, target, &[]).through(&plugin).await.0), expected, "{target}");
    }
}

#[tokio::test]
async fn a_key_for_certain_models_passes_only_what_tells_its_model() {
    let plugin = plugin("");
    let websocket = ("upgrade", "websocket");
    for (method, target, more, expected) in [
        (Method::POST, "/v1/messages", None, ""),
        (Method::POST, "/v1/audio/transcriptions", None, "model_not_known"),
        (Method::POST, "/v1beta/models/gemini-pro:generateContent", None, "model_not_known"),
        (Method::POST, "/v1/files", None, "model_not_known"),
        (Method::PUT, "/v1/messages", None, "model_not_known"),
        (Method::GET, "/v1/models", None, ""),
        (Method::DELETE, "/v1/files/f", None, ""),
        (Method::POST, "/v1/messages/batches/b/cancel", None, ""),
        // each call on it names its own
        (Method::GET, "/v1/responses", Some(websocket), ""),
        (Method::GET, "/v1/responses?model=claude-x", Some(websocket), ""),
        (Method::GET, "/socket", Some(websocket), "model_not_known"),
        (Method::GET, "/socket/realtime?model=gpt-realtime", Some(websocket), "model_not_allowed"),
        (Method::GET, "/v1/realtime?model=claude-live", Some(websocket), ""),
        (Method::GET, "/v1/realtime?model=gpt-realtime", Some(websocket), "model_not_allowed"),
        (Method::GET, "/v1/realtime?model=claude-live&model=gpt", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime?model=claude-live&mod%65l=gpt", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime?model=claude-live&MODEL=gpt", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime?model=claude-live;model=gpt", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime?model=claude-live&model[]=gpt", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime/?model=gpt-realtime", Some(websocket), "model_not_allowed"),
        (Method::GET, "/v1/%72ealtime?model=gpt-realtime", Some(websocket), "model_not_allowed"),
        (Method::GET, "/v1/realtime?Model=claude-live", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime?model=%67pt", Some(websocket), "model_not_allowed"),
        (Method::GET, "/v1/realtime?model=%63laude-live", Some(websocket), ""),
        (Method::GET, "/v1/realtime?model=%2563laude-live", Some(websocket), "model_not_known"),
        (Method::GET, "/v1/realtime", Some(websocket), "model_not_known"),
    ] {
        let headers: Vec<_> = [("x-api-key", CLAUDE)].into_iter().chain(more).collect();
        let (outcome, _) = Head::new(method.clone(), target, &headers).through(&plugin).await;
        assert_eq!(reason(outcome), expected, "{method} {target}");
        let free: Vec<_> = [("x-api-key", ALICE)].into_iter().chain(more).collect();
        assert!(Head::new(method, target, &free).through(&plugin).await.0.is_ok(), "{target}");
    }
}

#[tokio::test]
async fn every_model_that_a_server_might_read_must_be_allowed() {
    static PLUGIN: LazyLock<ApiKeys> = LazyLock::new(|| plugin(""));
    async fn called(key: &str, mut body: ModelCall) -> Result<(), Box<Refusal>> {
        let mut head = Head::new(Method::POST, "/v1/messages", &[("x-api-key", key)]);
        assert!(head.through(&PLUGIN).await.0.is_ok());
        outcome(testing::on_call(&*PLUGIN, &mut (), &mut Call { context: &mut head.context, body: &mut body }).await)
    }
    let messages = |call: TestCall| call.to(Endpoint::MESSAGES);
    let bodies: [(&dyn Fn() -> ModelCall, &str); 9] = [
        (&|| messages(TestCall::new().model("claude-opus-5")), ""),
        (&|| messages(TestCall::new().model("Claude-Opus-5")), ""),
        (&|| messages(TestCall::new().model("gpt-5")), "model_not_allowed"),
        (&|| messages(TestCall::new().model("gpt-5").model("claude-opus-5")), "model_not_allowed"),
        (&|| messages(TestCall::new()), "model_not_known"),
        (&|| batch(vec![TestCall::new().model("claude-a"), TestCall::new().model("claude-b")]), ""),
        (&|| batch(vec![TestCall::new().model("claude-a"), TestCall::new().model("gpt-5")]), "model_not_allowed"),
        (&|| unreadable(Endpoint::MESSAGES, "it is broken"), "model_not_known"),
        (&|| not_a_call(Endpoint::MESSAGES, "[]"), "model_not_known"),
    ];
    for (number, (body, expected)) in bodies.into_iter().enumerate() {
        let outcome = called(CLAUDE, body()).await;
        if let Err(refusal) = &outcome {
            assert!(
                refusal.kind() == RefusalKind::Forbidden && refusal.message().contains("`claude-only`"),
                "{number}"
            );
        }
        assert_eq!(reason(outcome), expected, "{number}");
        assert!(called(ALICE, body()).await.is_ok(), "{number}");
    }
}

#[test]
fn bodies_are_read_where_tokens_name_their_models() {
    let needs_body = |models: &str| {
        let jwt = format!(r#"{{"jwt":{{"jwks":"http://127.0.0.1:1/","issuer":"i","audience":"a"{models}}}}}"#);
        let config: Config = serde_json::from_str(&jwt).unwrap();
        let shared = Arc::default();
        let context = BuildContext {
            base: Path::new(""),
            shared: &shared,
            secrets: &Default::default(),
            common: &Default::default(),
        };
        ApiKeys::build(&config, &context).unwrap().needs().body
    };
    assert!(needs_body(r#","models":"models""#) && !needs_body(""));
}

#[tokio::test]
async fn a_token_goes_another_way_than_a_key_and_nothing_of_it_is_told() {
    let jwt = r#","jwt":{"jwks":"http://127.0.0.1:1/","issuer":"i","audience":"a"}"#;
    let plugin = plugin(jwt);
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.c2lnbmF0dXJl";
    let bearer = format!("Bearer {token}");
    for (headers, expected) in [
        (&[("authorization", bearer.as_str())][..], "invalid_token"),
        (&[("x-api-key", token)], "invalid_token"),
        (&[("authorization", bearer.as_str()), ("x-api-key", ALICE)], "ambiguous_key"),
        (&[("x-api-key", STRANGER)], "unknown_key"),
        (&[("x-api-key", ALICE)], ""),
    ] {
        let (outcome, _, context) = post(&plugin, headers).await;
        assert!(!format!("{outcome:?} {context:?} {plugin:?}").contains("c2lnbmF0dXJl"));
        assert_eq!(reason(outcome), expected, "{headers:?}");
    }
    // one that is well made can be checked only with the keys of its provider
    let token = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.c2lnbmF0dXJl";
    let (outcome, ..) = post(&plugin, &[("x-api-key", token)]).await;
    let refusal = outcome.unwrap_err();
    assert_eq!((refusal.reason(), refusal.status().as_u16()), ("tokens_unavailable", 503));
}

#[test]
fn settings_by_which_nobody_could_call_or_two_could_be_one_are_errors() {
    let check = |json: &str| {
        let config: Result<Config, _> = serde_json::from_str(json);
        config.map_err(|error| error.to_string()).and_then(|config| ApiKeys::check(&config).map_err(String::from))
    };
    let digest = Digest::of(b"1");
    let two = format!(r#"{{"keys":[{{"name":"a","sha256":"{digest}"}},{{"name":"b","sha256":"{digest}"}}]}}"#);
    for (json, expected) in [
        ("{}", "neither `keys` nor `file` nor `jwt`"),
        (&two, "the key `b` cannot be used: the key `a` has the same digest"),
        (&two.replace("\"b\"", "\"a\""), "another key has the same name"),
        (&two.replace("\"b\"", "\"\""), "the name is empty"),
        (&two.replace("}]", ",\"models\":[]}]"), "name at least one"),
        (r#"{"file":"k","header":"x-team"}"#, "does not say that it has a secret"),
        (r#"{"file":"k","max_keys":0}"#, "at least 1"),
    ] {
        let error = check(json).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
    assert!(check(r#"{"file":"k","header":"x-tollgate-key"}"#).is_ok());
    let file: Config = serde_json::from_str(r#"{"file":"no_such.yaml"}"#).unwrap();
    let error = ApiKeys::check_files(&file, Path::new("/no")).unwrap_err();
    assert!(error.message().contains("/no/no_such.yaml: cannot be read"), "{error}");
}
