//! Hashes that are kept in rows and shared caches: whatever way they are computed, they stay what they are.

use super::*;

/// The hash of many hashes.
fn of_all(hashes: &[[u8; 32]]) -> String {
    let mut hash = json_tape::Feed::default();
    hash.push(hashes.as_flattened());
    hash.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A list of `turns` messages of an agent and its model, each with a text of about `length` bytes.
fn list(turns: usize, length: usize) -> Vec<String> {
    let text = r#"fn main() {\n    println!(\"é \\ %\");\t}\r\n\u0001\u00e9 <b>"#.repeat(length / 60 + 1);
    let message = |turn: usize| match turn % 5 {
        0 => format!(
            r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t{turn}","content":"{text}"}}]}}"#
        ),
        1 => format!(
            r#"{{"role":"assistant","content":[{{"type":"text","text":"{text}"}},{{"type":"tool_use","id":"t{turn}","name":"f","input":{{"path":"a/b","n":[1,-2,0.5,true,null]}}}}]}}"#
        ),
        2 => format!(r#"{{"content":"{text} <system-reminder>{turn}</system-reminder>","role":"user"}}"#),
        3 => format!(
            r#"{{ "role" : "assistant", "content" : [{{"type":"thinking","thinking":"{text}","signature":"x"}}, {{"text":"plain","type":"text"}}, {{"type":"text","text":" "}}] }}"#
        ),
        _ => {
            format!(
                r#"{{"role":"user","content":"plain {turn} {}","cache_control":{{"b":1,"a":2}}}}"#,
                "x".repeat(length)
            )
        }
    };
    (0..turns).map(message).collect()
}

#[test]
fn the_hashes_of_calls_of_any_length_are_those_of_the_rows_that_are_kept() {
    let (mut messages, mut forms, mut earlier_messages, mut earlier_words) = (vec![], vec![], vec![], vec![]);
    for turns in 1..30 {
        for length in [0, 40, 1000, 2500, 5000] {
            let list = list(turns, length);
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            messages.push(conversation(&list).messages);
            let digest = digest(&list).unwrap();
            messages.push(digest.turn);
            forms.push(digest.form);
            if let Some((turn, words)) = earlier(&list) {
                earlier_messages.push(turn);
                earlier_words.extend(words);
            }
        }
    }
    assert_eq!((earlier_messages.len(), earlier_words.len()), (140, 140));
    let of_answers = [ConversationHash::of_answer("msg_1"), ConversationHash::of_first_message("hello").unwrap()];
    assert_eq!(
        [&messages[..], &forms, &earlier_messages, &earlier_words, &of_answers].map(of_all),
        [
            "60ee892a0889199b8c9365d4dcd115a23a013e5980d4ba1fbf67b575f4ded950",
            "794ec7b78a349b7b1384fe69e24e037c62d920c7c296530c1350388d751849d2",
            "e1bc6a4f1a9a13b55973b7545233630b7458eacbfc658418505549f1207a4408",
            "164fc45b2fc64bdd7ed726c336be49ac7e650969bb40b29f2e2232cd75461486",
            "52d6cf4d85e0c89fc32e718de4c367a1e5b421d702218eb7c699cec1553e1b62"
        ]
    );
}
