//! `model_list`: what a caller may ask for, told without an upstream, and the sign of life that Claude Code asks for.

use super::*;

const KEYS: &str = "plugins:\n  \
                    - api_keys:\n      keys:\n        \
                    - { name: alice, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90, models: [fast, \"gpt-5*\"] }\n        \
                    - { name: bob, sha256: 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9 }\n  - model_list: {}\n";

async fn get(client: &mut Client, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(client.request(method, target), |request, (name, value)| request.header(*name, *value));
    client.call(request.body(body("")).unwrap()).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_caller_gets_the_list_of_its_own_models_in_its_own_dialect_and_no_upstream_is_asked() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], RULES, KEYS).await;
    let version = ("anthropic-version", "2023-06-01");
    for mut client in clients(&gateway).await {
        // as the picker of Claude Code asks
        let alice =
            get(&mut client, "GET", "/v1/models?limit=1000", &[("authorization", "Bearer alice"), version]).await;
        assert_eq!((alice.status.as_u16(), alice.header("content-type")), (200, Some("application/json")));
        let names = ids(&alice);
        assert!(names[0] == "fast" && names.len() > 1, "{names:?}");
        assert!(names[1..].iter().all(|name| name.starts_with("gpt-5")), "{names:?}");
        assert_eq!((&alice.json()["has_more"], &alice.json()["first_id"]), (&json!(false), &json!("fast")));
        let bob = get(&mut client, "GET", "/v1/models", &[("authorization", "Bearer bob")]).await;
        assert_eq!(bob.json()["object"], "list");
        assert!(["fast", "mini", "gpt-4o"].iter().all(|name| ids(&bob).iter().any(|id| id == name)), "{}", bob.text());
        let one = get(&mut client, "GET", "/v1/models/mini", &[("x-api-key", "bob"), version]).await;
        assert_eq!((one.status.as_u16(), &one.json()["id"]), (200, &json!("mini")));
        let none = get(&mut client, "GET", "/v1/models/mini", &[("x-api-key", "alice"), version]).await;
        assert_eq!((none.status.as_u16(), &none.json()["error"]["type"]), (404, &json!("not_found_error")));
        let nobody = get(&mut client, "GET", "/v1/models", &[version]).await;
        assert_eq!(nobody.status, 401, "who is not known may ask for nothing");
    }
    assert_eq!((first.count(), second.count()), (0, 0));
}

#[tokio::test]
async fn anybody_gets_a_sign_of_life_whose_row_is_no_failed_call() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let book = Book::Sqlite(Folder::new());
    let (database, journal) = (book.url(), book.journal());
    let ledger = format!("{KEYS}  - usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}\n");
    let gateway = before([&first, &second, &third], RULES, &ledger).await;
    for mut client in clients(&gateway).await {
        let hello = get(&mut client, "HEAD", "/api/hello", &[]).await;
        assert_eq!((hello.status.as_u16(), hello.body.len()), (200, 0));
        // the connection goes on
        assert_eq!(get(&mut client, "HEAD", "/api/hello", &[]).await.status, 200);
    }
    assert_eq!(first.count(), 0);
    book.has_rows(4).await;
    let columns = "outcome, response_status, request_type, error_type IS NULL, plugin IS NULL, attempts";
    let rows = book.sql(&format!("SELECT {columns} FROM api_requests"));
    assert!(rows.lines().all(|row| row == "cached|200|other|1|1|0"), "{rows}");
}
