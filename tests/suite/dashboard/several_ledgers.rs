//! The dashboard of a gateway whose routes have several ledgers: one is shown at a time.

use serde_json::Value;

use crate::harness::{Folder, Page, answer, body, eventually, gateway, http1, origin};

use super::pages::address;

#[tokio::test]
async fn the_ledger_that_is_chosen_is_shown_and_downloaded() {
    let (origin, folder) = (origin().await, Folder::new());
    origin.answers(answer(200).body("fine"));
    let (server, path) = (origin.server(), folder.path().display());
    let usage_log = |name: &str| {
        format!("usage_log: {{ database: \"sqlite://{path}/{name}.db\", journal: {{ path: \"{path}/{name}\" }} }}")
    };
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams:\n  a: {{ servers: [{{ address: \"{server}\" \
         }}] }}\nplugins:\n  - {}\nroutes:\n  - {{ hosts: [b.example.com], upstream: a, plugins: [{{ {} }}] }}\n  - {{ hosts: \
         [a.example.com], upstream: a }}\n",
        usage_log("first"),
        usage_log("second")
    );
    let gateway = gateway().yaml(yaml).start().await;
    let mut client = http1(gateway.address()).await;
    for host in ["a.example.com", "b.example.com"] {
        let request = hyper::Request::get("/").header("host", host).body(body("")).unwrap();
        assert_eq!(client.call(request).await.status, 200, "{host}");
    }
    let json = async |path: &str| {
        let answer = super::get(&gateway, &format!("/dashboard/api/{path}"), "").await;
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let ledgers = json("ledgers").await;
    let is_second = |ledger: &&Value| ledger["database"].as_str().unwrap().contains("second");
    let second = ledgers["ledgers"].as_array().unwrap().iter().find(is_second).unwrap()["ledger"].clone();
    for (ledger, host) in [(1 - second.as_i64().unwrap(), "a.example.com"), (second.as_i64().unwrap(), "b.example.com")]
    {
        eventually("the row of each", async || {
            json(&format!("calls?ledger={ledger}")).await["calls"].as_array().is_some_and(|rows| rows.len() == 1)
        })
        .await;
        let mut page = Page::open().await;
        page.go(&address(&gateway, &format!("/dashboard/spend?group=domain&ledger={ledger}"))).await;
        page.until(&format!("document.querySelector('[aria-label^=Spend] tbody')?.innerText.includes('{host}')")).await;
        page.until(&format!("document.querySelector('.ledger select')?.value === '{ledger}'")).await;
        assert_eq!(page.value("document.querySelectorAll('.chips button').length").await, 0, "it is no filter");
        let csv = "fetch(document.querySelector('a[download]').href).then(csv => csv.text())";
        let csv = page.value(csv).await;
        assert_eq!(csv.as_str().unwrap().lines().nth(1).and_then(|line| line.split(',').next()), Some(host), "{csv}");
    }
}
