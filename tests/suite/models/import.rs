//! `tollgate import litellm`: its exit codes, and a gateway that serves with what it prints.

use std::fs;
use std::process::{Command, Output};

use super::*;
use crate::harness::soon;

fn import(text: &str) -> (Option<i32>, String, String) {
    let folder = Folder::new();
    let file = folder.path().join("config.yaml");
    fs::write(&file, text).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["import", "litellm"]).arg(&file).output();
    let Output { status, stdout, stderr } = program.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn a_gateway_serves_with_an_imported_configuration() {
    let (first, second) = (origin().await, origin().await);
    first.answers(answer(503).empty());
    second.answers(answer(200).header("content-type", "application/json").body(message("big")));
    let (code, yaml, stderr) = import(&format!(
        "model_list:
  - {{ model_name: chat, litellm_params: {{ model: openai/small, api_base: \"http://{}/v1\", api_key: os.environ/FIRST_KEY }} }}
  - {{ model_name: better, litellm_params: {{ model: anthropic/big, api_base: \"http://{}\", api_key: os.environ/SECOND_KEY }} }}
router_settings: {{ fallbacks: [{{ chat: [better] }}], num_retries: 0, model_group_alias: {{ old-chat: chat }} }}
litellm_settings: {{ callbacks: [prometheus] }}
general_settings: {{ master_key: sk-1234 }}
",
        first.address(),
        second.address()
    ));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("left out: litellm_settings.callbacks"), "{stderr}");
    let yaml = yaml.replace("0.0.0.0:4000", "127.0.0.1:0") + "admin: { address: \"127.0.0.1:0\" }\n";
    let gateway = gateway().yaml(yaml).variable("FIRST_KEY", "key-1").variable("SECOND_KEY", "key-2").start().await;
    let mut check = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let check = check.args(["check", "-c"]).arg(gateway.file()).env("FIRST_KEY", "key-1").env("SECOND_KEY", "key-2");
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    for (at, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let request = client.request("POST", "/v1/chat/completions").header("authorization", "Bearer sk-1234");
        let told = client.call(request.body(body(r#"{"model":"old-chat","messages":[]}"#)).unwrap()).await;
        assert_eq!((told.status.as_u16(), told.text()), (200, message("big")));
        let (one, two) = (first.request(at).await, second.request(at).await);
        assert_eq!(one.header("authorization"), Some("Bearer key-1"));
        assert_eq!((two.header("x-api-key"), two.header("authorization")), (Some("key-2"), None));
        assert_eq!(text_of(&first, at).await, r#"{"model":"small","messages":[]}"#);
        assert_eq!(text_of(&second, at).await, r#"{"model":"big","messages":[]}"#);
        let list = client.request("GET", "/v1/models").header("authorization", "Bearer sk-1234");
        let list = client.call(list.body(body("")).unwrap()).await.json();
        let names: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(names, ["chat", "better", "old-chat"]);
        assert_eq!(
            client.post("/v1/chat/completions", r#"{"model":"chat"}"#).await.status,
            401,
            "without the master key"
        );
    }
}

#[tokio::test]
async fn an_imported_budget_ends_calls_that_litellms_would() {
    let origin = origin().await;
    // three tokens of input and five of output, at a dollar each
    origin.answers(answer(200).header("content-type", "application/json").body(message("own")));
    let (code, yaml, stderr) = import(&format!(
        "model_list:
  - model_name: own
    litellm_params: {{ model: anthropic/own, api_base: \"http://{}\" }}
    model_info: {{ input_cost_per_token: 1, output_cost_per_token: 1 }}
litellm_settings: {{ max_budget: 8, budget_duration: 30d }}
general_settings: {{ master_key: sk-1234 }}
",
        origin.address()
    ));
    assert!(code == Some(2) && stderr.lines().count() == 1 && stderr.contains("models that are not in it"), "{stderr}");
    let yaml = yaml.replace("0.0.0.0:4000", "127.0.0.1:0") + "admin: { address: \"127.0.0.1:0\" }\n";
    let gateway = gateway().yaml(yaml).variable("ANTHROPIC_API_KEY", "key").start().await;
    let mut client = http1(gateway.address()).await;
    let mut passed = 0;
    let refused = soon(async {
        loop {
            let request = client.request("POST", "/v1/messages").header("x-api-key", "sk-1234");
            let text = r#"{"model":"own","max_tokens":5,"messages":[]}"#;
            let answer = client.call(request.body(body(text)).unwrap()).await;
            match answer.status.as_u16() {
                200 => passed += 1,
                // a call that ended a moment ago may still hold something
                429 if answer.header("x-should-retry").is_none() => tokio::task::yield_now().await,
                status => break (status, answer),
            }
        }
    })
    .await;
    let message = refused.1.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((passed, refused.0), (1, 429), "{message}");
    assert!(message.starts_with("Budget `all` is used up: $8 per month for all callers."), "{message}");
}

#[test]
fn what_is_carried_over_whole_exits_with_0_and_what_cannot_be_read_with_1() {
    let whole = "model_list: [{ model_name: \"*\", litellm_params: { model: \"openai/*\" } }]\ngeneral_settings: { master_key: sk-1 }\n";
    let (code, yaml, stderr) = import(whole);
    assert_eq!((code, &*stderr), (Some(0), ""), "{yaml}");
    for text in ["", "model_list: []", "model_list: [", "\0"] {
        let (code, yaml, stderr) = import(text);
        assert_eq!((code, &*yaml), (Some(1), ""), "{text:?}");
        assert!(!stderr.is_empty());
    }
    let nowhere = Command::new(env!("CARGO_BIN_EXE_tollgate")).args(["import", "litellm", "/nowhere.yaml"]).output();
    assert_eq!(nowhere.unwrap().status.code(), Some(1));
}
