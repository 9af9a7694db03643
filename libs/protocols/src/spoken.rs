//! What an answer says beside its facts, as far as conversations need it: its words, and the tasks that it gives to subagents.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;

use crate::conversation::ConversationHash;
use crate::slot::{Extractor, Slot};
use crate::words::{Words, is_tool_use};

/// The tools by which Claude Code starts a subagent, as JSON strings.
const TASK_TOOLS: [&[u8]; 2] = [b"\"Task\"", b"\"Agent\""];
static TASK_FINDERS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| TASK_TOOLS.map(Finder::new));
/// How long the input of such a tool may be, in bytes.
const LONGEST_INPUT: usize = 256 << 10;
/// How many tasks of an answer are known.
const MOST_TASKS: usize = 64;

/// What an answer says.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    pub(crate) words: Words,
    /// The hash of each task, as the messages of a call that begins with it.
    tasks: Vec<[u8; 32]>,
    /// The input of a task that is still coming.
    input: Option<String>,
}

impl Spoken {
    /// Whether what the next pieces say may count.
    pub(crate) fn listens(&self) -> bool {
        self.words.has_room() || self.input.is_some()
    }

    /// A block of an answer begins: an event of Anthropic's.
    pub(crate) fn begin_block(&mut self, json: &Extractor) {
        self.end_block();
        if let Some(text) = json.get(Slot::Text) {
            self.words.string(text);
        }
        if !json.get(Slot::BlockType).is_some_and(is_tool_use) {
            return;
        }
        if let Some(id) = json.get(Slot::BlockId) {
            self.words.id(id);
        }
        if json.get(Slot::BlockName).is_some_and(|name| TASK_TOOLS.contains(&name)) {
            let input = json.get(Slot::BlockInput).and_then(|input| std::str::from_utf8(input).ok());
            self.input = Some(input.filter(|input| *input != "{}").unwrap_or_default().to_owned());
        }
    }

    /// A piece of that block.
    pub(crate) fn piece(&mut self, json: &Extractor) {
        match json.get(Slot::Text) {
            Some(text) => self.words.string(text),
            None if json.is_too_long(Slot::Text) => self.words.lose(),
            None => {}
        }
        if let Some(input) = &mut self.input
            && let Some(piece) = json.string(Slot::PartialJson)
            && input.len() + piece.len() <= LONGEST_INPUT
        {
            input.push_str(&piece);
        }
    }

    /// The block is over.
    pub(crate) fn end_block(&mut self) {
        if let Some(input) = self.input.take() {
            self.task(&input);
        }
    }

    /// Blocks of a whole answer of Anthropic's, as a JSON list.
    pub(crate) fn blocks(&mut self, json: &str) {
        #[derive(Deserialize)]
        struct Block<'a> {
            #[serde(borrow)]
            name: Option<&'a serde_json::value::RawValue>,
            #[serde(borrow)]
            input: Option<&'a serde_json::value::RawValue>,
        }
        self.words.content(json);
        if !TASK_FINDERS.iter().any(|name| name.find(json.as_bytes()).is_some()) {
            return;
        }
        for Block { name, input } in serde_json::from_str::<Vec<Block<'_>>>(json).unwrap_or_default() {
            if let (Some(name), Some(input)) = (name, input)
                && TASK_TOOLS.contains(&name.get().as_bytes())
            {
                self.task(input.get());
            }
        }
    }

    fn task(&mut self, input: &str) {
        #[derive(Deserialize)]
        struct Input {
            prompt: String,
        }
        if let Ok(Input { prompt }) = serde_json::from_str(input)
            && self.tasks.len() < MOST_TASKS
        {
            self.tasks.extend(ConversationHash::of_first_message(&prompt));
        }
    }

    /// The hash of the words, and those of the tasks.
    pub(crate) fn finish(mut self) -> (Option<[u8; 32]>, Vec<[u8; 32]>) {
        self.end_block();
        (self.words.hash(), self.tasks)
    }
}
