//! Batches from their making to their results, in both providers' shapes.

use http::Method;
use plugin_api::Period;
use serde_json::{Value, json};

use super::*;

/// Asks for something, as a client that uses no paging and sends JSON does.
fn ask(batches: &Batches, settings: &Settings, method: Method, path: &str, body: &str) -> Result<Found, Failure> {
    let form = body.starts_with("--x\r\n");
    let content_type = if form { "multipart/form-data; boundary=x" } else { "application/json" };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let target = Target::of(&method, path).unwrap();
    let draws = Draws::new(7, body.len() as u64 + path.len() as u64);
    batches.answer(&target, &Asked { query, host: "sim", content_type, body: body.as_bytes() }, settings, draws)
}

fn json_of(found: Result<Found, Failure>) -> Value {
    match found.unwrap() {
        Found::Json(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Found::Lines(..) => panic!("lines"),
    }
}

fn lines_of(found: Result<Found, Failure>) -> Vec<Value> {
    match found.unwrap() {
        Found::Json(_) => panic!("one object"),
        Found::Lines(bytes, _) => {
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }
}

fn settings(batch_after: Period) -> Settings {
    Settings { batch_after, ..Settings::default() }
}

/// A batch of Anthropic's with these ids; the n-th asks for n tokens.
fn handed(ids: &[&str]) -> String {
    let params = |n: usize| json!({ "model": "claude-haiku-4-5", "max_tokens": n, "messages": [] });
    let requests: Vec<Value> =
        ids.iter().enumerate().map(|(n, id)| json!({ "custom_id": id, "params": params(n + 1) })).collect();
    json!({ "requests": requests }).to_string()
}

const BATCHES: &str = "/v1/messages/batches";

#[test]
fn one_of_anthropics_ends_with_the_answers_that_the_endpoint_gives() {
    let (batches, settings) = (Batches::default(), settings(Period::from_secs(0)));
    let batch = json_of(ask(&batches, &settings, Method::POST, BATCHES, &handed(&["a", "b"])));
    let id = batch["id"].as_str().unwrap();
    let url = format!("http://sim/v1/messages/batches/{id}/results");
    assert_eq!((&batch["processing_status"], &batch["results_url"]), (&"ended".into(), &url.into()));
    let results = lines_of(ask(&batches, &settings, Method::GET, &format!("{BATCHES}/{id}/results"), ""));
    assert_eq!(results.len(), 2);
    let first = results.iter().find(|line| line["custom_id"] == "a").unwrap();
    assert_eq!(first["result"]["type"], "succeeded");
    let usage = &first["result"]["message"]["usage"];
    assert_eq!((&usage["output_tokens"], &usage["service_tier"]), (&1.into(), &"batch".into()));
}

#[test]
fn before_its_end_it_has_no_results_and_can_be_cancelled() {
    let (batches, settings) = (Batches::default(), settings(Period::from_secs(3600)));
    let batch = json_of(ask(&batches, &settings, Method::POST, BATCHES, &handed(&["a", "b"])));
    let path = format!("{BATCHES}/{}", batch["id"].as_str().unwrap());
    let counts = json!({ "processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0 });
    assert_eq!((&batch["processing_status"], &batch["request_counts"]), (&"in_progress".into(), &counts));
    assert!(ask(&batches, &settings, Method::GET, &format!("{path}/results"), "").is_err());
    let canceling = json_of(ask(&batches, &settings, Method::POST, &format!("{path}/cancel"), ""));
    assert_eq!(canceling["processing_status"], "canceling");
    json_of(ask(&batches, &settings, Method::GET, &path, ""));
    let ended = json_of(ask(&batches, &settings, Method::GET, &path, ""));
    assert_eq!((&ended["processing_status"], &ended["request_counts"]["canceled"]), (&"ended".into(), &2.into()));
    let results = lines_of(ask(&batches, &settings, Method::GET, &format!("{path}/results"), ""));
    assert!(results.iter().all(|line| line["result"]["type"] == "canceled"));
}

#[test]
fn wrong_and_repeated_ids_are_refused() {
    let (batches, settings) = (Batches::default(), settings(Period::from_secs(0)));
    for ids in [&["a b"][..], &[""], &["a", "a"], &["ä"], &[&"a".repeat(65)], &[]] {
        assert!(ask(&batches, &settings, Method::POST, BATCHES, &handed(ids)).is_err(), "{ids:?}");
    }
    assert_eq!(batches.stats().submitted, 0);
    for again in [0, 1] {
        ask(&batches, &settings, Method::POST, BATCHES, &handed(&["a"])).ok().unwrap();
        assert_eq!(batches.stats().submitted_again, again);
    }
}

#[test]
fn requests_fail_and_expire_as_often_as_the_settings_say() {
    let settings = Settings {
        batch_error_rate: "0.5".parse().unwrap(),
        batch_expiry_rate: "0.2".parse().unwrap(),
        ..settings(Period::from_secs(0))
    };
    let batches = Batches::default();
    let ids: Vec<String> = (0..1000).map(|n| format!("id-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let counts = json_of(ask(&batches, &settings, Method::POST, BATCHES, &handed(&ids)))["request_counts"].clone();
    let count = |of: &str| counts[of].as_u64().unwrap();
    assert!((150..250).contains(&count("expired")) && (330..470).contains(&count("errored")), "{counts}");
    assert_eq!(count("expired") + count("errored") + count("succeeded"), 1000);
}

#[test]
fn the_list_has_pages_with_the_newest_first() {
    let (batches, settings) = (Batches::default(), settings(Period::from_secs(0)));
    let ids: Vec<String> = (1..=5)
        .map(|n| handed(&["a"]) + &" ".repeat(n)) // bodies of other lengths draw other ids here
        .map(|body| json_of(ask(&batches, &settings, Method::POST, BATCHES, &body))["id"].as_str().unwrap().to_owned())
        .collect();
    let page = |query: &str| json_of(ask(&batches, &settings, Method::GET, &format!("{BATCHES}?{query}"), ""));
    let first = page("limit=3");
    assert_eq!((&first["first_id"], &first["has_more"]), (&ids[4].clone().into(), &true.into()));
    let rest = page(&format!("limit=3&after_id={}", first["last_id"].as_str().unwrap()));
    assert_eq!((&rest["first_id"], &rest["has_more"]), (&ids[1].clone().into(), &false.into()));
    assert_eq!(rest["data"].as_array().unwrap().len(), 2);
}

#[test]
fn one_of_openais_is_made_of_a_file_and_has_files_of_results() {
    let batches = Batches::default();
    let settings = Settings { batch_error_rate: "0.4".parse().unwrap(), ..settings(Period::from_secs(0)) };
    let line = |n: u64| {
        let body = json!({ "model": "gpt-5", "max_tokens": n, "messages": [] });
        json!({ "custom_id": format!("id-{n}"), "method": "POST", "url": "/v1/chat/completions", "body": body })
            .to_string()
    };
    let lines = (1..=20).map(line).collect::<Vec<_>>().join("\n");
    let form = format!(
        "--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"calls.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n{lines}\r\n--x--\r\n"
    );
    let file = json_of(ask(&batches, &settings, Method::POST, "/v1/files", &form));
    assert_eq!((&file["filename"], &file["bytes"]), (&"calls.jsonl".into(), &lines.len().into()));
    let made = json!({
        "input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "metadata": { "key": "value" },
    });
    let batch = json_of(ask(&batches, &settings, Method::POST, "/v1/batches", &made.to_string()));
    assert_eq!((&batch["status"], &batch["metadata"]["key"]), (&"completed".into(), &"value".into()));
    let content = |id: &Value| {
        let path = format!("/v1/files/{}/content", id.as_str().unwrap());
        lines_of(ask(&batches, &settings, Method::GET, &path, ""))
    };
    let (output, errors) = (content(&batch["output_file_id"]), content(&batch["error_file_id"]));
    assert!(!output.is_empty() && !errors.is_empty() && output.len() + errors.len() == 20);
    assert!(output.iter().all(|line| line["response"]["status_code"] == 200 && line["error"].is_null()));
    assert!(errors.iter().all(|line| line["response"]["status_code"] == 529));
    assert!(output.iter().all(|line| line["response"]["body"]["usage"]["completion_tokens"].as_u64().unwrap() > 0));
    let wrong = made.to_string().replace("24h", "1h");
    assert!(ask(&batches, &settings, Method::POST, "/v1/batches", &wrong).is_err());
}
