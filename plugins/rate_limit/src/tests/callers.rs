//! Who is held to which limits.

use super::*;

#[tokio::test]
async fn callers_without_what_a_limit_goes_by_are_counted_as_one() {
    let host = Host::default();
    for by in ["key", "tenant", "user", "session", "model", "client_ip", "header:x-team"] {
        let limits = host.limits(json!({ "limits": [{ "by": by, "requests": "1/month" }] }));
        let silent = || TestCall::new().to(Endpoint::MESSAGES);
        assert!(call(&limits, context(), silent()).await.is_ok(), "{by}");
        let refused = call(&limits, context(), silent()).await.err().unwrap();
        assert!(refused.message.contains("for callers without a "), "{}", refused.message);
    }
}

#[tokio::test]
async fn headers_and_addresses_tell_callers_apart() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [
        { "by": ["header:x-team", "client_ip"], "requests": "1/month" },
        { "by": "header:x-app", "requests": "100/month" },
    ] }));
    let ask = async |team: &'static str, address: &str| {
        let mut context = context();
        context.client = Some(address.parse().unwrap());
        let request = TestRequest::to(Endpoint::SPEECH).header("x-team", team).header("x-app", "a");
        let mut form = request.request(&mut context);
        // what is no JSON is decided by its head
        form.endpoint = Some(Endpoint::TRANSCRIPTIONS);
        let flow = testing::on_request(&limits, &mut State::default(), &mut form).await;
        refused(flow, Protocol::OPENAI).is_none()
    };
    assert!(ask("red", "10.0.0.1").await && !ask("red", "10.0.0.1").await && !ask("red", "::ffff:10.0.0.1").await);
    assert!(ask("blue", "10.0.0.1").await && ask("red", "10.0.0.2").await);
    assert!(ask("red", "2001:db8::1").await && !ask("red", "2001:db8::2").await && ask("red", "2001:db8:0:1::1").await);
}

#[tokio::test]
async fn a_key_is_held_to_its_own_limits_beside_those_of_the_file() {
    let host = Host::default();
    let limits = host.limits(json!({}));
    let quota =
        Quota { concurrent: NonZeroU32::new(1), requests: Some("2/month".parse().unwrap()), ..Quota::default() };
    let grants = Arc::new(Grants { quota, ..Grants::default() });
    let own = |name| {
        let mut context = by_key(name);
        context.principal_mut().grants = Some(grants.clone());
        context
    };
    let going = call(&limits, own("alice"), message(1)).await.ok().unwrap();
    let refused = call(&limits, own("alice"), message(1)).await.err().unwrap();
    assert!(refused.message.contains("`key_limits` reached: 1 calls in progress for key alice"), "{}", refused.message);
    going.costs(&limits, 1, 1);
    call(&limits, own("alice"), message(1)).await.ok().unwrap().costs(&limits, 1, 1);
    let refused = call(&limits, own("alice"), message(1)).await.err().unwrap();
    assert!(refused.message.contains("2 requests per month for key alice"), "{}", refused.message);
    assert!(call(&limits, own("bob"), message(1)).await.is_ok());
    assert!(call(&limits, by_key("carol"), message(1)).await.is_ok());
}
