//! A call as benches read it.

use bytes::Bytes;

/// A call as an agent makes it, of about so many bytes: this many tools, and messages of about 2 kB, with text and tool results. Those of
/// a short call are shorter.
pub fn conversation(bytes: usize, tools: usize) -> Bytes {
    let text = "fn main() {\\n    println!(\\\"a line of some program\\\");\\n}\\n".repeat((bytes / 64).min(30));
    let tool = r#"{"name":"f","description":"Reads a file from the disk and gives its lines with their numbers.","input_schema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}}"#;
    let mut body = String::from(r#"{"model":"claude","max_tokens":32000,"stream":true,"#);
    if tools > 0 {
        body.push_str(&format!(r#""tools":[{}],"#, vec![tool; tools].join(",")));
    }
    body.push_str(r#""system":[{"type":"text","text":"be"}],"messages":["#);
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
