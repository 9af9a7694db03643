use plugin_api::http::Method;
use plugin_api::testing::{self, TestRequest, context};

use super::*;

fn config(yaml: &str) -> Result<Config, String> {
    serde_json::from_str(yaml).map_err(|error| error.to_string())
}

/// Whether a client at this address is let in.
async fn lets_in(settings: &str, client: Option<&str>) -> bool {
    let access = Access { rules: config(settings).unwrap().rules().into() };
    let (request, mut context) = (TestRequest::asking(Method::GET, "/"), context());
    context.client = client.map(|client| client.parse().unwrap());
    match testing::on_request(&access, &mut (), &mut request.request(&mut context)).await {
        Flow::Continue => true,
        Flow::Refuse(refusal) => {
            assert_eq!((refusal.status().as_u16(), refusal.reason()), (403, "address_denied"));
            false
        }
        Flow::Answer(reply) => panic!("{reply:?}"),
    }
}

#[tokio::test]
async fn the_first_rule_that_has_the_address_decides() {
    let inner = r#"{ "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["all"] }"#;
    let but_one = r#"{ "deny": ["10.1.2.3"], "allow": ["10.0.0.0/8"], "rules": [{ "deny": "all" }] }"#;
    let blocked = r#"{ "deny": ["192.0.2.0/24"] }"#;
    for (settings, client, wanted) in [
        (inner, Some("10.1.2.3"), true),
        (inner, Some("2001:db8::1"), true),
        (inner, Some("192.0.2.7"), false),
        (inner, Some("::1"), false),
        (inner, None, false),
        (but_one, Some("10.1.2.3"), false),
        (but_one, Some("10.1.2.4"), true),
        (but_one, Some("192.0.2.7"), false),
        (blocked, Some("192.0.2.7"), false),
        (blocked, Some("10.1.2.3"), true),
        (blocked, None, true),
    ] {
        assert_eq!(lets_in(settings, client).await, wanted, "{client:?} by {settings}");
    }
}

#[test]
fn rules_that_do_nothing_are_an_error() {
    for (settings, wanted) in [
        (r#"{ "allow": ["10.0.0.0/8"] }"#, "add `deny: [all]`"),
        ("{}", "nothing is denied"),
        (r#"{ "deny": ["all"], "allow": ["10.0.0.0/8"] }"#, "`allow 10.0.0.0/8` never applies, because `deny all`"),
        (r#"{ "deny": ["10.0.0.0/8", "10.1.0.0/16"] }"#, "`deny 10.1.0.0/16` never applies"),
    ] {
        let problem = Access::check(&config(settings).unwrap()).unwrap_err();
        assert!(problem.message().contains(wanted), "{settings}: {problem}");
    }
    assert!(Access::check(&config(r#"{ "deny": ["10.1.2.3"], "allow": ["10.0.0.0/8"] }"#).unwrap()).is_ok());
}

#[test]
fn what_is_no_address_says_what_is_wanted() {
    for (settings, wanted) in [
        (r#"{ "allow": ["everybody"] }"#, "or one address like `192.0.2.7`, or `all`"),
        (r#"{ "deny": ["10.1.2.3/8"] }"#, "the network is `10.0.0.0/8`"),
        (r#"{ "denny": ["all"] }"#, "unknown field `denny`"),
    ] {
        let error = config(settings).unwrap_err();
        assert!(error.contains(wanted), "{settings}: {error}");
    }
}

#[test]
fn settings_are_written_as_they_were_read() {
    let read = config(r#"{ "deny": ["10.1.2.3"], "allow": ["10.0.0.0/8"], "rules": [{ "deny": "all" }] }"#).unwrap();
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(written, r#"{"rules":[{"deny":"10.1.2.3"},{"allow":"10.0.0.0/8"},{"deny":"all"}]}"#);
    assert_eq!(config(&written).unwrap(), read);
}
