//! Bodies made to cost time or memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use plugin_api::{ParsedBody, TokenLimitValue};

use super::{asked, message};

#[test]
fn a_million_levels_deep_is_read_like_any_other_text() {
    let deep = 1_000_000;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nest = format!("{}1{}", open.repeat(deep), close.repeat(deep));
        for body in [
            format!(r#"{{"x":{nest},"max_tokens":9}}"#),
            format!(r#"{{"messages":[{nest}],"max_tokens":9}}"#),
            format!(r#"{{"model":{nest},"tools":{nest},"max_tokens":9}}"#),
        ] {
            assert_eq!(asked(&message(body)), [TokenLimitValue::Tokens(9)]);
        }
        assert_eq!(asked(&message(format!(r#"{{"max_tokens":{nest}}}"#))), [TokenLimitValue::NotANumber]);
        assert!(matches!(message(format!(r#"{{"x":{}"#, open.repeat(deep))).parsed(), ParsedBody::Unreadable(_)));
        assert!(matches!(message(nest).parsed(), ParsedBody::NotACall | ParsedBody::Calls(_)));
    }
}

#[test]
fn a_limit_behind_twenty_megabytes_is_read_without_a_copy_of_them() {
    let body = format!(r#"{{"messages":[{{"content":"{}"}}],"max_tokens":5000}}"#, "words \\n ".repeat(20 << 17));
    let body = Bytes::from(body);
    let started = Instant::now();
    let call = message(body.clone());
    let took = started.elapsed();
    assert_eq!(asked(&call), [TokenLimitValue::Tokens(5000)]);
    assert_eq!(call.text().as_ptr(), body.as_ptr());
    assert_eq!(call.into_body().as_ptr(), body.as_ptr());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn hostile_shapes_take_no_more_than_linear_time() {
    let million = 1_000_000;
    for body in [
        format!(r#"{{"max_tokens":{}}}"#, "9".repeat(10 * million)),
        format!(r#"{{"max_tokens":1{}e-99}}"#, "0".repeat(10 * million)),
        format!(r#"{{"{}":1}}"#, "\\u0061".repeat(million)),
        format!(r#"{{{}"max_tokens":1}}"#, r#""a":1,"#.repeat(million)),
        format!(r#"{{"model":"{}"}}"#, "\\u0061".repeat(million)),
    ] {
        let started = Instant::now();
        assert!(matches!(message(body).parsed(), ParsedBody::Calls(_)));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
