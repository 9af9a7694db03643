//! What must hold of any object, whatever its members, and of any bytes at all.

use plugin_api::{Edit, Endpoint, TokenField, TokenLimitValue};
use proptest::prelude::*;

use super::{message, one, read_at};

/// A JSON value without whitespace outside of strings.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("-0.1e+400".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800\"max_tokens\":1""#.to_owned()),
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
                let member = |(key, value)| format!("{}:{value}", serde_json::to_string::<String>(&key).unwrap());
                format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// A token limit's key with any of its letters escaped, and the field.
fn limit_key() -> impl Strategy<Value = (TokenField, String)> {
    (prop::sample::select(TokenField::all().to_vec()), prop::collection::vec(0..3_u8, 32)).prop_map(|(field, how)| {
        let letters = field.as_str().chars().zip(how).map(|(letter, how)| match how {
            0 => format!("\\u{:04x}", u32::from(letter)),
            1 => format!("\\u{:04X}", u32::from(letter)),
            _ => letter.to_string(),
        });
        (field, letters.collect())
    })
}

/// A way to write a number, and the number.
fn number() -> impl Strategy<Value = (u64, String)> {
    (0..1_000_000_u64, 0..6_u8, 0..5_usize).prop_map(|(number, how, zeros)| {
        let spelling = match how {
            0 => format!("{number}.{}", "0".repeat(zeros + 1)),
            1 => format!("{number}{}e-{zeros}", "0".repeat(zeros)),
            2 => format!("{}.{:06}E+0006", number / 1_000_000, number % 1_000_000),
            3 => format!("{number}E{}", "0".repeat(zeros + 1)),
            _ => number.to_string(),
        };
        (number, spelling)
    })
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

proptest! {
    #[test]
    fn a_limit_is_found_wherever_it_stands_and_clamping_changes_nothing_else(
        before in prop::collection::vec(("[a-z]{0,9}|\\PC{0,9}", value()), 0..5),
        after in prop::collection::vec(("[a-z]{0,9}|\\PC{0,9}", value()), 0..5),
        (field, key) in limit_key(),
        (tokens, spelling) in number(),
        spaces in prop::collection::vec(space(), 4),
        mark in any::<bool>(),
    ) {
        let members = |members: &[(String, String)]| -> Vec<String> {
            let written = |(key, value): &(String, String)| format!("{}:{value}", serde_json::to_string(key).unwrap());
            members.iter().map(written).collect()
        };
        let mut head = String::from(if mark { "\u{FEFF}{" } else { "{" });
        for member in members(&before) {
            head.push_str(&member);
            head.push(',');
        }
        let [a, b, c, d] = &spaces[..] else { unreachable!() };
        head.push_str(&format!("{a}\"{key}\"{b}:{c}"));
        let mut tail = d.clone();
        for member in members(&after) {
            tail.push(',');
            tail.push_str(&member);
        }
        tail.push('}');

        let mut call = message(format!("{head}{spelling}{tail}"));
        let limit = one(&call).token_limits.iter().find(|limit| limit.at.start == head.len()).unwrap().clone();
        prop_assert_eq!((limit.field, limit.exact, limit.asked), (field, true, TokenLimitValue::Tokens(tokens)));
        prop_assert_eq!(limit.at.len(), spelling.len());
        call.edit(vec![Edit::replace(&limit, 4000)]);
        prop_assert_eq!(call.into_body(), format!("{head}4000{tail}"));
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), object in any::<bool>()) {
        let body = if object { [&b"{\"max_tokens\":"[..], &body].concat() } else { body };
        for endpoint in [Endpoint::MESSAGES, Endpoint::MESSAGE_BATCHES, Endpoint::RESPONSES] {
            let call = read_at(endpoint, body.clone());
            prop_assert_eq!(call.into_body(), body.clone());
        }
    }
}
