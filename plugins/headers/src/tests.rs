use std::path::Path;
use std::sync::Arc;

use plugin_api::http::{HeaderMap, HeaderValue, Method, StatusCode};
use plugin_api::testing::{TestRequest, context};
use plugin_api::{Common, HeaderEdit, HeaderEdits};
use serde_json::{Value, json};

use super::*;

fn config(settings: Value) -> Result<Config, String> {
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

fn plugin(settings: Value) -> Headers {
    let (shared, secrets, common) = (Arc::new(()), Arc::from([]), Arc::new(Common::default()));
    let context = BuildContext { base: Path::new(""), shared: &shared, secrets: &secrets, common: &common };
    Headers::build(&config(settings).unwrap(), &context).unwrap()
}

/// The edits as text: `-name`, `name=value`, `name+=value`.
fn text(edits: &HeaderEdits) -> Vec<String> {
    let text = |edit: &HeaderEdit| match edit {
        HeaderEdit::Remove(name) => format!("-{name}"),
        HeaderEdit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
        HeaderEdit::Append(name, value) => format!("{name}+={}", value.to_str().unwrap()),
    };
    edits.iter().map(text).collect()
}

#[test]
fn a_request_gets_its_headers_in_order_removed_set_and_added() {
    let plugin = plugin(json!({ "request": {
        "add": { "X-Tag": ["one", "$request_method"], "x-none": "$arg_none" },
        "set": { "X-Real-IP": "$remote_addr", "x-query": "$is_args$args", "x-gone": "$http_none", "x-price": "5$$" },
        "remove": ["X-Debug"],
    } }));
    let (request, mut context) = (TestRequest::asking(Method::GET, "/a?b=c"), context());
    context.client = Some([192, 0, 2, 7].into());
    let mut seen = request.request(&mut context);
    plugin.on_forward(&mut (), &mut seen);
    let wanted =
        ["-x-debug", "x-real-ip=192.0.2.7", "x-query=?b=c", "-x-gone", "x-price=5$", "x-tag+=one", "x-tag+=GET"];
    assert_eq!(text(&seen.edits), wanted);
}

#[tokio::test]
async fn a_response_gets_its_headers_whatever_its_status() {
    let plugin = plugin(json!({ "response": {
        "set": { "Strict-Transport-Security": "max-age=63072000", "x-served": "$status $sent_http_server $host" },
        "remove": ["X-Powered-By"],
    } }));
    let (request, mut context) = (TestRequest::asking(Method::GET, "/"), context());
    let headers = HeaderMap::from_iter([("server".parse().unwrap(), HeaderValue::from_static("origin"))]);
    for status in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
        let mut seen = request.response(&mut context, status, &headers);
        assert!(plugin.try_on_response(&mut (), &mut seen).is_some());
        let served = format!("x-served={} origin test.example", status.as_u16());
        assert_eq!(text(&seen.edits), ["-x-powered-by", "strict-transport-security=max-age=63072000", &served]);
    }
}

#[tokio::test]
async fn changes_for_success_leave_errors_as_they_are() {
    let plugin = plugin(json!({
        "response": { "remove": ["x-origin"], "add": { "x-tag": "all" } },
        "success": { "set": { "cache-control": "max-age=60" }, "add": { "x-tag": "ok", "x-origin": "ours" } },
    }));
    let (request, mut context) = (TestRequest::asking(Method::GET, "/"), context());
    let headers = HeaderMap::new();
    for (status, is_success) in [(200, true), (204, true), (304, true), (308, true), (203, false), (404, false)] {
        let mut seen = request.response(&mut context, StatusCode::from_u16(status).unwrap(), &headers);
        assert!(plugin.try_on_response(&mut (), &mut seen).is_some());
        let wanted: &[&str] = if is_success {
            &["-x-origin", "cache-control=max-age=60", "x-tag+=all", "x-tag+=ok", "x-origin+=ours"]
        } else {
            &["-x-origin", "x-tag+=all"]
        };
        assert_eq!(text(&seen.edits), wanted, "{status}");
    }
}

#[test]
fn what_another_plugin_took_out_no_variable_brings_back() {
    let plugin = plugin(json!({ "request": { "set": {
        "authorization": "$http_authorization", "x-key": "key $http_authorization", "x-agent": "$http_user_agent",
    } } }));
    let request =
        TestRequest::asking(Method::GET, "/").header("authorization", "Bearer secret").header("user-agent", "a");
    let mut context = context();
    for (is_removed, wanted) in [
        (true, &["-authorization", "-authorization", "x-key=key", "x-agent=a"][..]),
        (false, &["authorization=Bearer secret", "x-key=key Bearer secret", "x-agent=a"]),
    ] {
        let mut seen = request.request(&mut context);
        if is_removed {
            seen.edits.remove("authorization".parse().unwrap());
        }
        plugin.on_forward(&mut (), &mut seen);
        assert_eq!(text(&seen.edits), wanted);
    }
}

#[test]
fn edits_of_plugins_above_stay() {
    let plugin = plugin(json!({ "request": { "remove": ["x-debug"] } }));
    let (request, mut context) = (TestRequest::asking(Method::GET, "/"), context());
    let mut seen = request.request(&mut context);
    seen.edits.remove("authorization".parse().unwrap());
    plugin.on_forward(&mut (), &mut seen);
    assert_eq!(text(&seen.edits), ["-authorization", "-x-debug"]);
}

#[test]
fn what_no_message_may_have_is_an_error() {
    for (settings, wanted) in [
        (json!({ "request": { "set": { "Connection": "close" } } }), "the gateway sets it"),
        (json!({ "response": { "add": { "Content-Length": "1" } } }), "the gateway sets it"),
        (json!({ "response": { "remove": ["transfer-encoding"] } }), "the gateway sets it"),
        (json!({ "request": { "set": { "x y": "1" } } }), "`x y` is not the name of a header"),
        (json!({ "request": { "set": { "x": "$status" } } }), "a variable of the response has no value yet"),
        (json!({ "request": { "add": { "x": ["$upstream_addr"] } } }), "a variable of the response has no value yet"),
        (json!({ "response": { "set": { "x": "$hots" } } }), "did you mean `$host`?"),
        (json!({ "response": { "set": { "x": "5$" } } }), "a dollar itself is written `$$`"),
    ] {
        let error = config(settings.clone()).unwrap_err();
        assert!(error.contains(wanted), "{settings}: {error}");
    }
    for twice in [json!({ "request": { "add": { "host": "a" } } }), json!({ "request": { "remove": ["Host"] } })] {
        let problem = Headers::check(&config(twice).unwrap()).unwrap_err();
        assert!(problem.message().contains("`set` replaces it"), "{problem}");
    }
    let both = config(json!({ "request": { "set": { "X-A": "1" }, "remove": ["x-a"] } })).unwrap();
    let problem = Headers::check(&both).unwrap_err();
    assert!(problem.message().contains("`request` sets `x-a` and removes it"), "{problem}");
}
