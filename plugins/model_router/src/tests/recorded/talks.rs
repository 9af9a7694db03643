//! Conversations that are made up, the same each time.

use serde_json::{Value, json};

/// Conversations that go on at the same time.
const OPEN: usize = 12;

/// Numbers that look random and are the same each time.
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

/// A conversation that is being had.
pub struct Talk {
    pub number: usize,
    kind: Kind,
    left: u64,
    pub body: Value,
    calls: u8,
    pub cached: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chat,
    Agent,
    Picture,
    Paper,
    Code,
}

impl Talk {
    fn begun(number: usize, draws: &mut Draws) -> Self {
        let kind = match draws.below(10) {
            0..4 => Kind::Agent,
            4..7 => Kind::Chat,
            7 => Kind::Picture,
            8 => Kind::Paper,
            _ => Kind::Code,
        };
        let topic = draws.of(&["the harbour", "a parser", "this invoice", "die Größe", "теорему", "天気", "a poem"]);
        let verb = draws.of(&["explain", "prove", "refactor", "translate", "sum up", "compare"]);
        let text = format!("{verb} {topic}, number {number}. {}", "More words. ".repeat(draws.below(120) as usize));
        let image =
            json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } });
        let document = json!({ "type": "document", "source": { "type": "url", "url": "https://a.test/a.pdf" } });
        let text_block = json!({ "type": "text", "text": text });
        let content = match kind {
            Kind::Picture => json!([image, text_block]),
            Kind::Paper => json!([document, text_block]),
            Kind::Chat | Kind::Agent | Kind::Code => json!(text),
        };
        let mut body = json!({
            "model": "auto", "max_tokens": 100 + draws.below(8000), "stream": draws.below(2) == 0,
            "messages": [{ "role": "user", "content": content }],
        });
        if kind == Kind::Agent {
            body["system"] = json!([{ "type": "text", "text": "You are an agent. ".repeat(60) }]);
            body["tools"] = json!([{ "name": "read", "input_schema": { "type": "object" } }]);
        }
        if kind == Kind::Code && draws.below(3) == 0 {
            body["thinking"] = json!({ "type": "enabled", "budget_tokens": 2000 });
        }
        let left = if kind == Kind::Agent { 3 + draws.below(20) } else { 1 + draws.below(4) };
        Self { number, kind, left, body, calls: 0, cached: 0 }
    }

    /// The model has answered, and the user or a tool goes on.
    fn goes_on(&mut self, draws: &mut Draws) {
        let messages = self.body["messages"].as_array_mut().unwrap();
        if self.kind == Kind::Agent && draws.below(5) > 0 {
            messages.push(json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "read", "input": {} }] }));
            let result = "line\n".repeat(draws.below(400) as usize);
            messages.push(json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": result }] }));
        } else {
            messages.push(json!({ "role": "assistant", "content": "Done. ".repeat(1 + draws.below(40) as usize) }));
            messages.push(json!({ "role": "user", "content": draws.of(&["go on", "and now prove it", "thanks", "refactoring, please"]) }));
        }
    }

    pub fn session(&self) -> Option<String> {
        (!self.number.is_multiple_of(3)).then(|| format!("s{}", self.number / 2))
    }

    pub fn tenant(&self) -> &'static str {
        ["team-a", "team-b", "free"][self.number % 3]
    }

    /// The hash of its messages up to the call that is made now.
    pub fn turn(&self) -> [u8; 16] {
        self.hash(self.calls + 1)
    }

    /// That of the call before, if there was one.
    pub fn previous_turn(&self) -> Option<[u8; 16]> {
        (self.calls > 0).then(|| self.hash(self.calls))
    }

    fn hash(&self, call: u8) -> [u8; 16] {
        let mut turn = [call; 16];
        turn[..8].copy_from_slice(&(self.number as u64).to_le_bytes());
        turn
    }
}

/// Conversations that go on at the same time, one call after the other.
pub struct Talks {
    pub draws: Draws,
    open: Vec<Talk>,
    begun: usize,
    at: usize,
}

impl Talks {
    pub fn new(seed: u64) -> Self {
        Self { draws: Draws(seed), open: Vec::new(), begun: 0, at: 0 }
    }

    /// The one that makes the next call.
    pub fn next(&mut self) -> &mut Talk {
        while self.open.len() < OPEN {
            self.open.push(Talk::begun(self.begun, &mut self.draws));
            self.begun += 1;
        }
        self.at = self.draws.below(OPEN as u64) as usize;
        self.now()
    }

    /// The one that makes a call now.
    pub fn now(&mut self) -> &mut Talk {
        &mut self.open[self.at]
    }

    /// That call has been answered.
    pub fn answered(&mut self) {
        let talk = &mut self.open[self.at];
        (talk.calls, talk.left) = (talk.calls + 1, talk.left - 1);
        talk.goes_on(&mut self.draws);
        if talk.left == 0 {
            self.open.swap_remove(self.at);
        }
    }
}
