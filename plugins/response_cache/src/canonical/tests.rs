//! Spellings of one call share a digest, and nothing else does.

mod any_value;

use json_tape::Open;
use plugin_api::http::HeaderMap;
use plugin_api::{Endpoint, Hashing};

use super::*;

fn digest(endpoint: Endpoint, text: &[u8]) -> Result<Digest, Bypass> {
    super::digest(endpoint, text, None)
}

/// The digest of a call whose messages are hashed as turns.
fn of_turns(text: &str) -> Result<Digest, Bypass> {
    let hashing = Hashing::ConversationAndDigest;
    let (_, hashes) = protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), text.as_bytes(), hashing);
    super::digest(Endpoint::MESSAGES, text.as_bytes(), hashes.digest.as_ref())
}

fn messages(text: &str) -> Result<Digest, Bypass> {
    digest(Endpoint::MESSAGES, text.as_bytes())
}

#[test]
fn messages_that_were_hashed_as_turns_make_calls_differ_as_they_do_without() {
    let texts = [
        r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
        "\u{FEFF}{ \"messages\" : [ {\"content\":\"\\u0061\",\"role\":\"user\"} ] ,\"model\":\"m\",\"metadata\":{\"user_id\":\"u\"}}",
        r#"{"m\u0065ssages":[{"role":"user","content":"a"}],"model":"m"}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a<system-reminder>b</system-reminder>"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a<system-reminder>c</system-reminder>"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a","cache_control":{}}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":""}]}"#,
        r#"{"model":"n","messages":[{"role":"user","content":"a"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"\ud800"}]}"#,
        r#"{"model":"m","messages":[{"content":"\uD800","role":"user"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":1e400}]}"#,
        r#"{"model":"m","messages":[]}"#,
        r#"{"model":"m"}"#,
    ];
    for (at, text) in texts.iter().enumerate() {
        assert!(of_turns(text).is_ok(), "{text}");
        for other in &texts[..at] {
            assert_eq!(of_turns(text) == of_turns(other), messages(text) == messages(other), "{text} {other}");
        }
    }
    for text in [
        r#"{"messages":[{"role":"user","content":"a","content":"a"}]}"#,
        r#"{"messages":[{"role":"user","content":"a"}],"container":"c"}"#,
        r#"{"messages":[{"role":"user","content":"a"}],"messages":[]}"#,
    ] {
        assert_eq!(of_turns(text), messages(text), "{text}");
        assert!(of_turns(text).is_err());
    }
}

fn chat(text: &str) -> Digest {
    digest(Endpoint::CHAT_COMPLETIONS, text.as_bytes()).unwrap()
}

#[test]
fn the_order_of_keys_white_space_and_escapes_do_not_matter() {
    let same = [
        r#"{"model":"m","messages":[{"role":"user","content":"Grüße\n🎉"}]}"#,
        "\u{FEFF}{ \"messages\" : [ { \"content\":\"Gr\\u00fc\\u00DFe\\u000a\\ud83c\\uDF89\" ,\t\"role\":\"user\"}],\r\n\"model\":\"m\" }\n",
        r#"{"mod\u0065l":"m","messages":[{"content":"Grüße\n🎉","role":"user"}],"metadata":{"user_id":"u"}}"#,
    ];
    for text in same {
        assert_eq!(messages(text), messages(same[0]), "{text}");
    }
}

#[test]
fn all_else_matters() {
    let different = [
        r#"{"a":1}"#,
        r#"{"a":1.0}"#,
        r#"{"a":10}"#,
        r#"{"a":"1"}"#,
        r#"{"a":[1]}"#,
        r#"{"a":[[1]]}"#,
        r#"{"a":[1,1]}"#,
        r#"{"a":{"1":1}}"#,
        r#"{"a":null}"#,
        r#"{"a":true}"#,
        r#"{"A":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"{"a":{"b":1},"c":1}"#,
        r#"{"a":{"b":1,"c":1}}"#,
        r#"{"a":[1,2]}"#,
        r#"{"a":[2,1]}"#,
        r#"{"a":"é"}"#,
        "{\"a\":\"e\u{301}\"}",
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\udc00\ud800"}"#,
        r#"{"a":""}"#,
        r#"{"":"a"}"#,
        r"{}",
        r#"{"metadata":{"team":"t"}}"#,
        r#"{"user":"u"}"#,
        r#"{"stream":true}"#,
        r#"{"stream":false}"#,
        r#"{"cache_control":{"type":"ephemeral"}}"#,
    ];
    for (at, text) in different.iter().enumerate() {
        for other in &different[..at] {
            assert_ne!(messages(text).unwrap(), messages(other).unwrap(), "{text} {other}");
        }
    }
}

#[test]
fn the_escapes_of_a_long_string_do_not_matter_either() {
    let plain = |n: usize| format!(r#"{{"a":"{}","b":1}}"#, "ab".repeat(n));
    let escaped = |n: usize| format!(r#"{{"a":"{}","b":1}}"#, "a\\u0062".repeat(n));
    for n in [1, 511, 512, 513, 5000] {
        assert_eq!(messages(&plain(n)), messages(&escaped(n)), "{n}");
        assert_ne!(messages(&plain(n)), messages(&plain(n + 1)));
    }
    // as a key, too
    let keys = |key: &str| format!(r#"{{"z":1,"{key}":2}}"#);
    assert_eq!(messages(&keys(&"k".repeat(3000))), messages(&keys(&"\\u006b".repeat(3000))));
    let twice = format!(r#"{{"{0}":1,"{0}":2}}"#, "k".repeat(3000));
    assert_eq!(messages(&twice), Err(Bypass::Unreadable));
}

#[test]
fn fields_without_meaning_do_not_matter_where_the_api_has_them() {
    for text in [r#"{"metadata":{"user_id":"u"},"a":1}"#, r#"{"a":1,"metadata":{}}"#] {
        assert_eq!(messages(text), messages(r#"{"a":1}"#), "{text}");
    }
    assert_eq!(messages(r#"{"metadata":{"user_id":"u","x":1}}"#), messages(r#"{"metadata":{"x":1}}"#));
    for text in [
        r#"{"user":"u","safety_identifier":"s","prompt_cache_key":"k","metadata":{"a":"b"},"a":1}"#,
        r#"{"a":1,"stream_options":{"include_obfuscation":false}}"#,
    ] {
        assert_eq!(chat(text), chat(r#"{"a":1}"#), "{text}");
    }
    assert_ne!(chat(r#"{"stream_options":{"include_usage":true}}"#), chat("{}"));
    // only at the top
    assert_ne!(chat(r#"{"a":{"user":"u"}}"#), chat(r#"{"a":{"user":"v"}}"#));
    assert_ne!(messages(r#"{"a":{"metadata":{}}}"#), messages(r#"{"a":{}}"#));
}

#[test]
fn a_key_that_stands_twice_at_any_depth_keeps_the_call_out() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":[{"b":{"c":1,"d":2,"c":1}}]}"#,
        r#"{"metadata":{"user_id":"a","user_id":"b"}}"#,
        r#"{"metadata":{"user_id":"a"},"metadata":{"user_id":"a"}}"#,
    ] {
        assert_eq!(messages(text), Err(Bypass::Unreadable), "{text}");
    }
}

#[test]
fn what_is_no_json_object_is_told_and_nothing_panics() {
    for text in [
        "",
        "[]",
        "1",
        "{",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\":}",
        "{\"a\\",
        "{\"\\u00",
        "{\"\\ud800\\u",
        "{\"a\":[",
        "{\"a\":[1",
        "{\"a\":\u{1}}",
    ] {
        assert_eq!(messages(text), Err(Bypass::Unreadable), "{text}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(messages(&deep), Err(Bypass::Unreadable));
}

#[test]
fn state_tools_and_thinking_keep_a_call_out() {
    for (endpoint, text, why) in [
        (Endpoint::MESSAGES, r#"{"container":"c"}"#, Bypass::State),
        (Endpoint::MESSAGES, r#"{"Container":"c"}"#, Bypass::State),
        (Endpoint::MESSAGES, r#"{"context_management":{}}"#, Bypass::State),
        (Endpoint::MESSAGES, r#"{"fallback_credit_token":"t"}"#, Bypass::State),
        (Endpoint::MESSAGES, r#"{"diagnostics":{"previous_message_id":"m"}}"#, Bypass::State),
        (Endpoint::MESSAGES, r#"{"mcp_servers":[{"url":"u"}]}"#, Bypass::Tools),
        (Endpoint::MESSAGES, r#"{"tools":[{"name":"a"},{"type":"web_search_20250305","name":"w"}]}"#, Bypass::Tools),
        (Endpoint::MESSAGES, r#"{"tools":[{"type":"code_execution_20250825"}]}"#, Bypass::Tools),
        (Endpoint::MESSAGES, r#"{"tools":[{"type":"mcp_toolset"}]}"#, Bypass::Tools),
        (Endpoint::MESSAGES, r#"{"tools":[{"type":"custo\u006d"}]}"#, Bypass::Tools),
        (Endpoint::MESSAGES, r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#, Bypass::Thinking),
        (Endpoint::MESSAGES, r#"{"thinking":{"type":"adaptive"}}"#, Bypass::Thinking),
        (Endpoint::RESPONSES, r#"{"input":"x"}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":true}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":null}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":false,"previous_response_id":"r"}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":false,"conversation":"c"}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":false,"background":true}"#, Bypass::State),
        (Endpoint::RESPONSES, r#"{"store":false,"tools":[{"type":"file_search"}]}"#, Bypass::Tools),
        (Endpoint::CHAT_COMPLETIONS, r#"{"store":true}"#, Bypass::State),
        (Endpoint::CHAT_COMPLETIONS, r#"{"web_search_options":{}}"#, Bypass::Tools),
    ] {
        assert_eq!(digest(endpoint, text.as_bytes()), Err(why), "{text}");
    }
    for (endpoint, text) in [
        (Endpoint::MESSAGES, r#"{"container":null,"mcp_servers":[],"thinking":{"type":"disabled"}}"#),
        (
            Endpoint::MESSAGES,
            r#"{"tools":[{"name":"a","input_schema":{"type":"object","properties":{"container":{"type":"string"}}}}]}"#,
        ),
        (Endpoint::MESSAGES, r#"{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"custom"},{"type":null}]}"#),
        (Endpoint::RESPONSES, r#"{"store":false,"background":false,"tools":[{"type":"function"}]}"#),
        (Endpoint::CHAT_COMPLETIONS, r#"{"store":false,"tools":[{"type":"function","function":{"name":"f"}}]}"#),
        (Endpoint::EMBEDDINGS, r#"{"input":"x"}"#),
    ] {
        assert!(digest(endpoint, text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn what_is_beyond_the_bounds_is_told_and_not_hashed() {
    let keys = |count: usize| (0..count).map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(",");
    assert!(messages(&format!("{{{}}}", keys(Open::MOST))).is_ok());
    assert_eq!(messages(&format!("{{{}}}", keys(Open::MOST + 1))), Err(Bypass::TooLarge));
    // objects within each other are open at the same time, those one after another are not
    let half = keys(Open::MOST / 2);
    assert_eq!(messages(&format!(r#"{{"a":{{"b":1,{half},"c":{{{half}}}}}}}"#)), Err(Bypass::TooLarge));
    assert!(messages(&format!(r#"{{"a":[{{{half}}},{{{half}}},{{{half}}}]}}"#)).is_ok());
    let lists = "[],".repeat(Tape::MOST);
    assert_eq!(messages(&format!(r#"{{"a":[{lists}1]}}"#)), Err(Bypass::TooLarge));
}

#[test]
fn the_answers_that_are_kept_have_the_same_digests() {
    let text = r#"{"model":"m","max_tokens":10,"stream":true,"temperature":0.50,"system":[{"type":"text","text":"be\u0020\n"}],
        "tools":[{"name":"f","input_schema":{"type":"object","b":[],"a":{}}}],"metadata":{"user_id":"u"},
        "messages":[{"role":"user","content":"a<system-reminder>b</system-reminder>","cache_control":{"type":"ephemeral"}},
        {"content":[{"text":"c","type":"text"}],"role":"assistant"},{"role":"user","content":[{"type":"image","n":1.0}]}]}"#;
    let hex =
        |digest: Result<Digest, Bypass>| digest.unwrap().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        [hex(of_turns(text)), hex(messages(text))],
        [
            "578065631a3c89e0b96bea2ba10e29afa481abc10b2230ab8f5f16994e4bee7e",
            "8ff96836f5d01f3479878162774f4fa7be0eb916a14d65332557666b0531aef5"
        ]
    );
}

#[test]
fn what_a_thread_keeps_changes_no_digest() {
    let long = format!(r#"{{"model":"{}","messages":[]}}"#, "m".repeat(SHORT));
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let texts = [
        r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
        // given up behind the first member, and at a second one of its key
        r#"{"a":"given up","b":"\x"}"#,
        r#"{"a":"given up","b":{"c":1,"c":1}}"#,
        &long,
        &deep,
        "",
        r#"{"a":"#,
        r#"{"model":"m","store":true,"container":"c"}"#,
        r#"{"\u0061":{"\u0062":1}}"#,
    ];
    for one in texts {
        for other in texts {
            for text in [one, other] {
                let fresh = digest_in(&mut Scratch::default(), Endpoint::MESSAGES, text.as_bytes(), None);
                assert_eq!(messages(text), fresh, "{one} {other}");
            }
        }
    }
}
