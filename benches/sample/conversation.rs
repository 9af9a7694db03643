//! A call as benches read it.

use bytes::Bytes;

/// A call as an agent makes it: messages of about 2 kB, with text and tool results.
pub fn conversation(bytes: usize) -> Bytes {
    let text = "fn main() {\\n    println!(\\\"a line of some program\\\");\\n}\\n".repeat(30);
    let mut body = String::from(
        r#"{"model":"claude","max_tokens":32000,"stream":true,"system":[{"type":"text","text":"be"}],"messages":["#,
    );
    for turn in 0.. {
        let message = if turn % 2 == 0 {
            format!(
                r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t{turn}","content":"{text}"}}]}}"#
            )
        } else {
            format!(
                r#"{{"role":"assistant","content":[{{"type":"text","text":"{text}"}},{{"type":"tool_use","id":"t{turn}","name":"f","input":{{"path":"a/b","n":[1,2]}}}}]}}"#
            )
        };
        body.push_str(&message);
        if body.len() > bytes {
            break;
        }
        body.push(',');
    }
    body.push_str("]}");
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok_and(|value| value["messages"].is_array()));
    body.into()
}
