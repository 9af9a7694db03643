//! Masks words in what models say, also where a stream brings a word in two events, or ends an answer that says one. Shows how a
//! plugin changes responses; it looks at the text of the first choice alone, and at no tool call.

use plugin_api::{BuildContext, Bytes, ConfigProblem, Needs, Part, PartKind, Plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Masks words in answers, or ends an answer that says one.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The words, in the letter case in which they are masked.
    pub words: Vec<String>,
    /// Whether the answer ends at the first of them.
    #[serde(default)]
    pub cut: bool,
}

/// The plugin.
#[derive(Debug)]
pub struct MaskWords {
    words: Vec<String>,
    cut: bool,
}

/// An event whose text ends like the beginning of a word. It waits for the next one.
#[derive(Debug)]
pub struct Held {
    text: String,
    event: Bytes,
}

/// Where an API has text, in a body or in an event.
const TEXTS: [&str; 9] = [
    "/delta/text",
    "/choices/0/delta/content",
    "/choices/0/message/content",
    "/choices/0/text",
    "/delta",
    "/content/0/text",
    "/output/0/content/0/text",
    "/message/content",
    "/response",
];

impl Plugin for MaskWords {
    const NAME: &'static str = "mask_words";
    const NEEDS: Needs = Needs { transform: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = ();
    type State = Option<Held>;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        match config.words.iter().any(|word| word.is_empty()) || config.words.is_empty() {
            true => Err("`words` needs a word, and no empty one".into()),
            false => Ok(()),
        }
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::check(config)?;
        Ok(Self { words: config.words.clone(), cut: config.cut })
    }

    fn on_part(&self, held: &mut Option<Held>, part: &mut Part<'_>) {
        let mut event: Value = serde_json::from_slice(&part.data()).unwrap_or_default();
        let waiting = held.take();
        let Some(text) = text_of(&mut event) else {
            if let Some(waiting) = waiting {
                part.replace([waiting.event, part.bytes().clone()].concat());
            }
            return;
        };
        text.insert_str(0, waiting.as_ref().map_or("", |waiting| &waiting.text));
        let is_said = self.mask(text);
        if is_said && self.cut {
            part.cut("word");
        } else if part.kind() != PartKind::Whole && self.may_begin(text) {
            let text = text.clone();
            *held = Some(Held { text, event: part.with_data(event.to_string()) });
            part.remove();
        } else if is_said || waiting.is_some() {
            part.set_data(event.to_string());
        }
    }
}

impl MaskWords {
    /// Masks the words in a text; whether there was one.
    fn mask(&self, text: &mut String) -> bool {
        let mut is_said = false;
        for word in &self.words {
            if text.contains(word) {
                *text = text.replace(word, &"*".repeat(word.chars().count()));
                is_said = true;
            }
        }
        is_said
    }

    /// Whether a text ends with the beginning of a word.
    fn may_begin(&self, text: &str) -> bool {
        let begins = |word: &String| word.char_indices().skip(1).any(|(end, _)| text.ends_with(&word[..end]));
        self.words.iter().any(begins)
    }
}

fn text_of(event: &mut Value) -> Option<&mut String> {
    let place = TEXTS.iter().find(|place| event.pointer(place).is_some_and(Value::is_string))?;
    match event.pointer_mut(place) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::context;
    use serde_json::json;

    use super::*;

    fn plugin(cut: bool) -> MaskWords {
        MaskWords { words: vec!["secret".into(), "hush".into()], cut }
    }

    fn streamed(plugin: &MaskWords, texts: &[&str]) -> (String, Option<&'static str>) {
        let (context, mut held, mut out, mut why) = (context(), None, String::new(), None);
        let delta = |text: &&str| format!("event: d\ndata: {}\n\n", json!({ "delta": { "text": text } }));
        let events = texts.iter().map(delta).chain(["data: [DONE]\n\n".to_owned()]);
        for event in events {
            let bytes = Bytes::from(event);
            let mut part = Part::new(&context, PartKind::Event, &bytes);
            plugin.on_part(&mut held, &mut part);
            let change = part.into_change();
            why = why.or(change.cut);
            out += std::str::from_utf8(&change.bytes).unwrap();
        }
        (out, why)
    }

    #[test]
    fn a_word_is_masked_also_where_it_comes_in_two_events() {
        for texts in [&["my secret is"][..], &["my se", "cret is"], &["my s", "ecr", "et", " is"]] {
            let out = streamed(&plugin(false), texts).0;
            assert!(!out.contains("secret") && out.contains("******"), "{out}");
            assert!(out.ends_with("data: [DONE]\n\n"), "{out}");
        }
        let (out, _) = streamed(&plugin(false), &["no word", " at all s"]);
        assert_eq!(out.matches("event: d").count(), 2, "what waited comes before the end: {out}");
        assert!(out.contains(" at all s"));
    }

    #[test]
    fn an_answer_can_end_at_the_word() {
        let (out, why) = streamed(&plugin(true), &["my ", "secret"]);
        assert_eq!(why, Some("word"));
        assert!(!out.contains("secret"));
    }

    #[test]
    fn the_text_of_a_whole_body_is_masked() {
        let (context, body) = (context(), Bytes::from(json!({ "content": [{ "text": "hush, secret" }] }).to_string()));
        let mut part = Part::new(&context, PartKind::Whole, &body);
        plugin(false).on_part(&mut None, &mut part);
        assert_eq!(part.into_change().bytes, json!({ "content": [{ "text": "****, ******" }] }).to_string());
    }
}
