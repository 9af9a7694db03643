//! The attempts of a call, as its row has them and the dashboard shows them.

use serde_json::{Value, json};

use crate::harness::{Folder, Page, answer, body, found, gateway, http1, origin, refusing};

use super::accessible::{check, faults};
use super::pages::address;

#[tokio::test]
async fn a_call_shows_each_attempt_with_its_server_and_its_time() {
    let (busy, fine, folder, refusing) = (origin().await, origin().await, Folder::new(), refusing());
    let dead = refusing.address();
    busy.answers(answer(529).body("{}"));
    fine.answers(answer(200).body("{}"));
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams:\n  a:\n    servers: [{{ address: \
         \"{dead}\" }}, {{ address: \"{}\" }}]\n    retry: {{ attempts: 2, on: [connect, http_529] }}\n    fallback: b\n  b: {{ servers: [{{ \
         address: \"{}\" }}] }}\nplugins:\n  - usage_log: {{ database: \"sqlite://{}/ledger.db\" }}\nroutes:\n  - {{ paths: [/one], upstream: b }}\n  - {{ upstream: a }}\n",
        busy.server(),
        fine.server(),
        folder.path().display()
    );
    let gateway = gateway().yaml(yaml).start().await;
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body("{}")).unwrap();
    assert_eq!(client.call(request).await.status, 200);
    let ask = async |path: &str| {
        let answer = super::get(&gateway, &format!("/dashboard/api/{path}"), "").await;
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let row = found("the row", async || ask("calls").await["calls"].as_array()?.first().cloned()).await;
    let id = row["id"].as_str().unwrap();
    let shown = ask(&format!("call?id={id}")).await;
    let attempts = &shown["attempts"];
    let each = attempts["each"].as_array().unwrap();
    let of = |name: &str| each.iter().map(|attempt| attempt[name].clone()).collect::<Vec<_>>();
    assert_eq!(attempts["count"], json!(each.len()));
    // whichever of the first two was asked first
    let mut failed = [of("error"), of("status"), of("server")].map(|column| column[..2].to_vec());
    if failed[1][0] == json!(529) {
        failed.iter_mut().for_each(|column| column.reverse());
    }
    assert_eq!(failed[0], [json!("connect"), json!("status")], "{attempts}");
    assert_eq!(failed[1], [Value::Null, json!(529)], "{attempts}");
    assert_eq!(failed[2], [json!(dead.to_string()), json!(busy.server())], "{attempts}");
    assert_eq!((&each[2]["upstream"], &each[2]["server"]), (&json!("b"), &json!(fine.server())), "{attempts}");
    assert_eq!((&each[2]["error"], &each[2]["status"]), (&Value::Null, &json!(200)), "{attempts}");
    assert_eq!((of("ended_ms")[2].clone(), each.len()), (Value::Null, 3), "{attempts}");
    let times: Vec<_> =
        each.iter().flat_map(|one| [one["began_ms"].as_i64(), one["ended_ms"].as_i64()]).flatten().collect();
    assert!(times.is_sorted() && times.len() == 5, "{attempts}");

    let mut page = Page::open().await;
    page.go(&address(&gateway, &format!("/dashboard/call?id={id}"))).await;
    page.until("document.querySelectorAll('[aria-label=\"Attempts of the call\"] tbody tr').length === 3").await;
    let text = page.value("document.querySelector('[aria-label=\"Attempts of the call\"]').innerText").await;
    let text = text.as_str().unwrap();
    for seen in ["connect", "529", &busy.server(), &fine.server(), &dead.to_string()] {
        assert!(text.contains(seen), "{seen}: {text}");
    }
    check(&mut page, "attempts").await;
    assert!(faults(&page).is_empty(), "{:?}", page.complaints);
    // a call with one attempt has no list
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = client.request("POST", "/one").header("traceparent", traceparent).body(body("{}")).unwrap();
    assert_eq!(client.call(request).await.status, 200);
    let one = found("its row", async || {
        let calls = ask("calls").await;
        calls["calls"].as_array()?.iter().find(|call| call["path"] == "/one").cloned()
    })
    .await;
    let shown = ask(&format!("call?id={}", one["id"].as_str().unwrap())).await;
    assert_eq!((&shown["attempts"]["count"], &shown["attempts"]["each"]), (&json!(1), &json!([])));
    assert_eq!(shown["call"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}
