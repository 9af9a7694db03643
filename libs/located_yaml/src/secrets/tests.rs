//! Ways of writing secrets, and what of them shows.

use super::*;
use proptest::prelude::*;

/// Words with which a `key` of the sample settings begins.
const PLAIN_KEYS: &[&str] = &["header", "cookie"];

/// The secrets of a text, and the text without them.
fn of(text: &str, plain_keys: &[&str]) -> (Secrets, String) {
    let mut secrets = Secrets::none(plain_keys);
    let masked = secrets.add_text(text);
    (secrets, masked)
}

#[test]
fn no_way_of_writing_a_secret_shows_it() {
    for text in [
        "url: redis://:hunter2@host:6379/0",
        "url: \"redis://me:hunter2 x@host\"",
        "{ url: redis://me:hunter2@host, database: \"postgres://u:hunter2@db/x\" }",
        "[redis://a:hunter2@b,redis://c:hunter2@d]",
        "url: redis://me:p@hunter2/x@host",
        "url: redis://me:hunter2",
        "url: \"${URL:-redis://me:hunter2@host}\"",
        "database: postgres://db/x?user=u&password=hunter2&sslmode=on",
        "database: \"host=db password=hunter2 user=u\"",
        "password: hunter2",
        "password:hunter2",
        "password hunter2",
        "- password hunter2",
        "password = hunter2",
        "\"Password\": hunter2",
        "redis: { password: hunter2, url: x }",
        "redis: {password: hunter2}",
        "redis: {password: a}hunter2, x: y }",
        "password: a, hunter2 } ] # comment",
        "password: \"a\\\"hunter2\"",
        "password: 'a''hunter2'",
        "password: \"hunter2",
        "password: |\n  a\n  hunter2: x\n",
        "password:\n  hunter2\n",
        "tokens:\n  - token:\n      - hunter2\n",
        "admin: { token: \"${TOKEN:-hunter2}\" }",
        "admin: { token: ${TOKEN:-hunter2} }",
        "client_secret: hunter2",
        "database: ${DB_PASSWORD:-hunter2}",
        "database: postgres://db/x?password=hunter2&sslmode=x",
        "database: postgres://u:hunter2",
        "database: 'postgres://u:hunter2 x@db:1/x'",
        "{ database: \"postgres://u:hunter2@/#%c@db/x\", a: b@c }",
        "database: \"pg://u:${SECRET:-hunter2}@db/x\"",
        "api_key: hunter2",
        "apiKey: hunter2",
        "x-api-key: hunter2",
        "headers: { x-api-key: hunter2, authorization: \"Bearer hunter2\" }",
        "key: hunter2",
        "access_keys: [a, hunter2]",
        "webhook: { url: \"https://hooks.example.com/services/hunter2\" }",
        "webhook:\n  url: https://a.example/hunter2\n",
        "limit: sk-ant-api03-hunter2",
        "cookie: hunter2",
        "key: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----",
    ] {
        let (_, masked) = of(text, PLAIN_KEYS);
        assert!(!masked.contains("hunter2"), "{text} became {masked}");
        assert_eq!(masked.chars().count(), text.chars().count(), "{text}");
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    for text in [
        "plugins: [{ max_tokens: { limit: 4000, default: 10 } }]",
        "balance: { hash: { key: header:x-user } }",
        "balance: { hash: { key: cookie, bound: 0.5 } }",
        "servers: [{ address: \"https://api.anthropic.com/v1\" }, { address: \"http://[::1]:80\" }]",
        "{ certificate: a.pem, private_key: b.key }",
        "token: \"${ADMIN_TOKEN}\"",
        "url: \"redis://:${REDIS_PASSWORD}@host:6379\"",
        "url: redis://host:6379/0",
        "scope: { header: x-token }",
        "address: http://host:${PORT}",
    ] {
        assert_eq!(of(text, PLAIN_KEYS).1, text);
    }
}

#[test]
fn messages_go_without_the_secrets_of_their_file() {
    let (secrets, _) = of("password: hunter2\ntoken: abc\nurl: redis://me:p%40ss@host\n", &[]);
    for (message, masked) in [
        ("found text `hunter2`, wanted a number", "found text `***`, wanted a number"),
        ("found text `abc`, wanted abc", "found text `***`, wanted abc"),
        ("cannot connect to redis://me:p%40ss@host", "cannot connect to redis://me:***@host"),
        ("cannot connect to redis://me:p@ss@host", "cannot connect to redis://me:***@host"),
        ("unknown key `token`; known are `key`", "unknown key `token`; known are `key`"),
    ] {
        assert_eq!(secrets.mask(message), masked);
    }
    let mut secrets = Secrets::default();
    secrets.add_variable("PORT", "3000");
    secrets.add_variable("PIN", "300000");
    assert_eq!(secrets.mask("cannot listen on 127.0.0.1:3000; 300000"), "cannot listen on 127.0.0.1:3000; ${PIN}");
    let long = "x".repeat(200);
    let (secrets, _) = of(&format!("password: {long}"), &[]);
    assert_eq!(secrets.mask(&format!("found `{}…`", &long[..80])), "found `***…`");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_moves_a_column(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "password", "key", ":", ": ", "=", "\"", "'", "\n", " ", "  ", "- ", "[", "]", "{", "}", ",", "#", "|", "é",
            "${", "A", ":-", "://", "@", "/", "http", "hook", "sk-", "Bearer ", "12345678", "-----BEGIN ", "&", "\t", "\r\n",
        ]), 0..24),
    ) {
        let text = pieces.concat();
        let (secrets, masked) = of(&text, PLAIN_KEYS);
        let widths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
        prop_assert_eq!(widths(&masked), widths(&text));
        let _ = secrets.mask(&text);
    }
}
