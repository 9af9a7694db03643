//! What clients send, and whose call it becomes.

use http::HeaderValue;
use plugin_api::Uuid;

use super::*;

const CLAUDE_CODE: &str = r#"{"device_id":"d1","account_uuid":"","session_id":"s1"}"#;

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let all = all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    all.collect()
}

fn caller(metadata_user: &str, user: &str, prompt_cache_key: &str) -> CallFacts {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let caller =
        CallerFacts { metadata_user: some(metadata_user), user: some(user), prompt_cache_key: some(prompt_cache_key) };
    CallFacts { caller: Some(Box::new(caller)), ..CallFacts::default() }
}

/// The session and the user.
fn attributed(attribution: &Attribution, headers: &HeaderMap, call: &CallFacts) -> (String, String) {
    let mut context = Context::new(Uuid::nil());
    attribution.of_head(headers, &mut context);
    attribution.of_call(headers, call, &mut context);
    let text = |value: &Option<Arc<str>>| value.as_deref().unwrap_or_default().to_owned();
    (text(&context.principal().session), text(&context.principal().user))
}

#[test]
fn what_clients_send_today_names_session_and_user() {
    let old = "user_d2_account_a2_session_s2";
    for (sent, call, session, user) in [
        (&[][..], caller("", "", ""), "", ""),
        (&[("x-claude-code-session-id", "s0")], caller(CLAUDE_CODE, "", ""), "s0", "d1"),
        (&[], caller(CLAUDE_CODE, "", ""), "s1", "d1"),
        (&[], caller(&CLAUDE_CODE.replace(":\"\"", ":\"a1\""), "", ""), "s1", "a1"),
        (&[], caller(old, "", ""), "s2", "a2"),
        (&[], caller("user_d3_account__session_s3", "", ""), "s3", "d3"),
        (&[("session-id", "s4"), ("thread-id", "t4")], caller("", "", "p4"), "s4", ""),
        (&[("x-session-id", "s5"), ("x-user", "u5")], caller("u0", "u1", ""), "s5", "u5"),
        (&[], caller("alice@example.com", "", ""), "", "alice@example.com"),
        (&[], caller("", "bob", "p6"), "p6", "bob"),
        (&[], caller("{broken", "bob", ""), "", "bob"),
    ] {
        let found = attributed(&Attribution::default(), &headers(sent), &call);
        assert_eq!(found, (session.to_owned(), user.to_owned()), "{sent:?} {call:?}");
    }
}

#[test]
fn the_order_of_the_yaml_counts_across_head_and_body() {
    let read = |json: &str| serde_json::from_str::<Attribution>(json).unwrap();
    let order =
        read(r#"{"session":["body:prompt_cache_key","header:x-session-id"],"user":["body:user","header:x-user"]}"#);
    let sent = headers(&[("x-session-id", "s"), ("x-user", "u")]);
    assert_eq!(attributed(&order, &sent, &caller("", "", "p")), ("p".to_owned(), "u".to_owned()));
    assert_eq!(attributed(&order, &sent, &caller("", "b", "")), ("s".to_owned(), "b".to_owned()));
    let none = read(r#"{"session":[],"user":[]}"#);
    assert_eq!(attributed(&none, &sent, &caller(CLAUDE_CODE, "b", "p")), (String::new(), String::new()));
    for wrong in ["x-user", "header:", "header:authorization", "header:x-api-key", "body:model", "cookie:a"] {
        assert!(Source::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    for source in Attribution::default().session.into_iter().chain(Attribution::default().user) {
        assert_eq!(Source::try_from(String::from(source.clone())), Ok(source));
    }
}

#[test]
fn what_a_plugin_has_found_out_stays() {
    let (sent, call) = (headers(&[("x-user", "u")]), caller("", "b", "p"));
    let mut context = Context::new(Uuid::nil());
    Attribution::default().of_head(&sent, &mut context);
    context.principal_mut().user = Some("known".into());
    Attribution::default().of_call(&sent, &call, &mut context);
    assert_eq!(
        (context.principal().user.as_deref(), context.principal().session.as_deref()),
        (Some("known"), Some("p"))
    );
}

#[test]
fn texts_of_clients_are_bounded_and_have_no_control_characters() {
    let long = "x".repeat(5000);
    let (session, user) =
        attributed(&Attribution::default(), &headers(&[("x-user", &long)]), &caller("", "", "a\u{0}\n\u{1b}[31mb"));
    assert_eq!(session, "a[31mb");
    assert!(user.len() <= LONGEST_TEXT, "{}", user.len());
    assert_eq!(attributed(&Attribution::default(), &HeaderMap::new(), &caller("", " \n", "\u{7}")), Default::default());
}
