//! Clients that talk by way of a gateway, and the conversations that their calls become.

mod clients;

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use clients::{Client, Gateway, Said};

#[test]
fn two_sessions_that_begin_alike_stay_apart_by_what_the_model_said() {
    let mut gateway = Gateway::default();
    let client = Client::of_key("k");
    let (mut one, mut other) = (client.talk(), client.talk());
    let first = gateway.call(&mut one, "hello", Said::text("Hi!"));
    let second = gateway.call(&mut other, "hello", Said::text("Hello!"));
    assert_ne!(first, second);
    assert_eq!(gateway.call(&mut one, "and?", Said::text("a")), first);
    assert_eq!(gateway.call(&mut other, "and?", Said::text("a")), second);
    assert_eq!(gateway.call(&mut other, "more", Said::tool("toolu_1")), second);
    assert_eq!(gateway.call(&mut one, "more", Said::tool("toolu_2")), first);
    assert_eq!(gateway.call(&mut one, "so", Said::text("b")), first);
    assert_eq!(gateway.call(&mut other, "so", Said::text("b")), second);
}

#[test]
fn callers_never_share_a_conversation() {
    let key = || Client::of_key("k");
    let clients = [
        key(),
        Client::of_key("other"),
        Client { domain: "other.example", ..key() },
        Client { tenant: Some("t"), ..key() },
        Client { tenant: Some("t2"), ..key() },
        Client { user: Some("u"), ..key() },
        Client { user: Some("u2"), ..key() },
        Client { session: Some("s"), ..key() },
        Client { session: Some("s"), ..Client::of_key("other") },
        Client { session: Some("s"), tenant: Some("t"), ..key() },
        Client { session: Some("s2"), ..key() },
        Client { session: Some("s"), is_shared: true, ..Client::of_key("third") },
        Client { key_name: Some("n"), ..key() },
        // one that is renewed is known by its session or user alone, and else by itself
        Client { session: Some("s"), ..Client::of_key("sk-ant-oat01-1") },
        Client { user: Some("u"), ..Client::of_key("sk-ant-oat01-1") },
        Client::of_key("sk-ant-oat01-1"),
        Client::of_key("sk-ant-oat01-2"),
    ];
    let mut gateway = Gateway::default();
    let mut talks: Vec<_> = clients.iter().map(|client| (client.talk(), Uuid::nil())).collect();
    for text in ["hello", "and?", "more"] {
        for (talk, conversation) in &mut talks {
            let found = gateway.call(talk, text, Said::text("the same"));
            assert!(conversation.is_nil() || *conversation == found, "{text}");
            *conversation = found;
        }
    }
    let all: HashSet<_> = talks.iter().map(|(_, conversation)| conversation).collect();
    assert_eq!(all.len(), clients.len());
}

#[test]
fn neither_a_renewed_token_nor_a_rotated_key_splits_a_conversation() {
    let mut gateway = Gateway::default();
    for (before, after) in [
        (
            Client { session: Some("s"), user: Some("u"), ..Client::of_key("sk-ant-oat01-1") },
            Client { session: Some("s"), user: Some("u"), ..Client::of_key("sk-ant-oat01-2") },
        ),
        (
            Client { user: Some("u"), ..Client::of_key("eyJ1.e30.x") },
            Client { user: Some("u"), ..Client::of_key("eyJ2.e30.x") },
        ),
        (
            Client { key_name: Some("n"), ..Client::of_key("one") },
            Client { key_name: Some("n"), ..Client::of_key("two") },
        ),
    ] {
        let mut talk = before.talk();
        let first = gateway.call(&mut talk, "hello", Said::text("Hi!"));
        talk.client = after;
        assert_eq!(gateway.call(&mut talk, "and?", Said::text("a")), first, "{:?}", talk.client);
    }
}

#[test]
fn a_session_goes_on_whatever_becomes_of_its_messages() {
    let mut gateway = Gateway::default();
    let client = Client { session: Some("s"), ..Client::of_key("k") };
    let mut talk = client.talk();
    let conversation = gateway.call(&mut talk, "hello", Said::text("Hi!"));
    // it is compacted
    let mut compacted = client.talk();
    let text = "This session is being continued from a previous conversation that ran out of context. …";
    assert_eq!(gateway.call(&mut compacted, text, Said::text("a")), conversation);
    assert_eq!(gateway.call(&mut compacted, "go on", Said::text("b")), conversation);
    // older results are cut out of it, and another gateway knows no turn of it
    compacted.messages.remove(0);
    compacted.messages.remove(0);
    assert_eq!(gateway.call(&mut compacted, "go on", Said::text("c")), conversation);
    assert_eq!(Gateway::default().call(&mut compacted, "go on", Said::text("d")), conversation);
    // the key of a prompt cache is no session
    let shared = Client { is_shared: true, ..client };
    let first = gateway.call(&mut shared.talk(), "hello", Said::text("Hi!"));
    assert_ne!(gateway.call(&mut shared.talk(), "another", Said::text("a")), first);
}

#[test]
fn what_is_asked_beside_a_conversation_is_another_one() {
    let mut gateway = Gateway::default();
    let client = Client { session: Some("s"), is_claude_code: true, ..Client::of_key("k") };
    let quota = gateway.call(&mut client.talk(), "quota", Said::text("q"));
    let mut talk = client.talk();
    let conversation = gateway.call(&mut talk, "hello", Said::text("Hi!"));
    let title = gateway.call(&mut client.talk(), "A title for: hello", Said::text("Greeting"));
    assert!(title != conversation && quota != conversation && title != quota);
    assert_eq!(gateway.call(&mut talk, "and?", Said::text("a")), conversation);
    let text = "This session is being continued from a previous conversation that ran out of context. …";
    assert_eq!(gateway.call(&mut client.talk(), text, Said::text("b")), conversation);
    let tools = Client { tools: true, ..client.clone() };
    assert_eq!(gateway.call(&mut tools.talk(), "cleared", Said::text("c")), conversation);
    let hinted = Client { class: Some("auxiliary"), ..tools };
    assert_ne!(gateway.call(&mut hinted.talk(), "a summary", Said::text("d")), conversation);
}

#[test]
fn a_subagent_has_a_conversation_of_its_own_and_a_parent() {
    for session in [Some("s"), None] {
        let mut gateway = Gateway::default();
        let client = Client { session, tools: true, ..Client::of_key("k") };
        let mut talk = client.talk();
        let parent = gateway.call(&mut talk, "do it", Said::tasks(&["look around", "fix it"]));
        let mut agents = ["look around", "fix it"].map(|task| {
            let mut agent = client.talk();
            let conversation = gateway.call(&mut agent, task, Said::tool("toolu_7"));
            assert_eq!(gateway.parent(), Some(parent));
            assert_ne!(conversation, parent);
            (agent, conversation)
        });
        assert_ne!(agents[0].1, agents[1].1);
        for (agent, conversation) in &mut agents {
            assert_eq!(gateway.call(agent, "a result", Said::tasks(&["deeper"])), *conversation);
            assert_eq!(gateway.parent(), Some(parent));
        }
        // the one of a subagent's
        let deeper = gateway.call(&mut client.talk(), "deeper", Said::text("done"));
        assert_eq!(gateway.parent(), Some(agents[1].1));
        assert_ne!(deeper, agents[1].1);
        assert_eq!(gateway.call(&mut talk, "results", Said::text("done")), parent);
        assert_eq!(gateway.parent(), None);
        // nobody else's first message is a task of this one
        gateway.call(&mut Client { user: Some("u"), ..client }.talk(), "fix it", Said::text("a"));
        assert_eq!(gateway.parent(), None);
    }
}

#[test]
fn subagents_that_name_themselves_are_known_by_every_gateway() {
    let main = Client { session: Some("s"), ..Client::of_key("k") };
    let agent = Client { agent: Some(("a1", None)), ..main.clone() };
    let nested = Client { agent: Some(("a2", Some("a1"))), ..main.clone() };
    let mut conversations = HashMap::new();
    for text in ["one", "two"] {
        for (number, client) in [&main, &agent, &nested].into_iter().enumerate() {
            let mut gateway = Gateway::default();
            let found = (gateway.call(&mut client.talk(), text, Said::text("a")), gateway.parent());
            assert_eq!(*conversations.entry(number).or_insert(found), found, "{client:?}");
        }
    }
    assert_eq!(conversations[&0].1, None);
    assert_eq!(conversations[&1].1, Some(conversations[&0].0));
    assert_eq!(conversations[&2].1, Some(conversations[&1].0));
}

#[test]
fn a_first_call_that_fails_and_is_tried_again_is_one_conversation() {
    let mut gateway = Gateway::default();
    let client = Client::of_key("k");
    let failed = gateway.call(&mut client.talk(), "hello", Said::Nothing);
    assert_eq!(gateway.call(&mut client.talk(), "hello", Said::Nothing), failed);
    let mut talk = client.talk();
    assert_eq!(gateway.call(&mut talk, "hello", Said::text("Hi!")), failed);
    assert_eq!(gateway.again(), failed);
    // the next that begins so is another
    assert_ne!(gateway.call(&mut client.talk(), "hello", Said::text("Hello!")), failed);
    assert_eq!(gateway.call(&mut talk, "and?", Said::text("a")), failed);
    // so is one that comes later
    let failed = gateway.call(&mut client.talk(), "later", Said::Nothing);
    gateway.wait(RETRY + 1);
    assert_ne!(gateway.call(&mut client.talk(), "later", Said::text("a")), failed);
}

#[test]
fn an_answer_that_came_in_part_is_gone_on_from() {
    let mut gateway = Gateway::default();
    let mut talk = Client::of_key("k").talk();
    let conversation = gateway.call(&mut talk, "hello", Said::Part("Hi, there is".into()));
    let turn = gateway.row().turn_hash;
    talk.messages.push(serde_json::json!({ "role": "assistant", "content": "Hi, th" }));
    assert_eq!(gateway.call(&mut talk, "go on", Said::text("a")), conversation);
    assert_eq!(gateway.row().previous_turn_hash, turn);
    assert_eq!(gateway.call(&mut talk, "go on", Said::text("b")), conversation);
}

#[test]
fn turns_that_are_not_known_are_asked_for_once_and_then_known() {
    let mut elsewhere = Gateway::default();
    let client = Client::of_key("k");
    let mut talk = client.talk();
    let conversation = elsewhere.call(&mut talk, "hello", Said::text("Hi!"));
    let turn = elsewhere.row().turn_hash.unwrap();
    let mut gateway = Gateway::default();
    let mut rows = vec![gateway.record(&mut talk.clone(), "and?", &Said::text("a"))];
    rows.push(gateway.record(&mut talk.clone(), "or?", &Said::text("b")));
    let asked = gateway.known.unknown(&rows);
    assert_eq!(asked.len(), 2, "with the words of the answer and without");
    assert_eq!(asked[0], turn);
    let parent = Uuid::from_u128(5);
    gateway.known.learn(&asked, &[Some(Conversation { id: conversation, parent: Some(parent) }), None]);
    assert!(gateway.known.unknown(&rows).is_empty());
    for _ in 0..2 {
        // what is shipped twice says the same twice
        gateway.known.link(&mut rows);
        for row in super::rows(&rows) {
            assert_eq!((row.conversation_id, row.parent_conversation_id), (Some(conversation), Some(parent)));
        }
    }
}

#[test]
fn a_call_that_names_an_answer_goes_on_from_the_call_that_had_it() {
    let mut gateway = Gateway::default();
    let client = Client::of_key("k");
    let first = gateway.respond(&client, None, "a");
    assert_eq!(gateway.respond(&client, Some("a"), "b"), first);
    assert_eq!(gateway.respond(&client, Some("b"), "c"), first);
    assert_ne!(gateway.respond(&client, Some("unknown"), "d"), first);
    assert_ne!(gateway.respond(&Client::of_key("other"), Some("c"), "e"), first);
    assert_eq!(gateway.respond(&client, Some("a"), "f"), first);
}

/// What one of several sessions does next.
#[derive(Clone, Debug)]
enum Step {
    Say(&'static str),
    /// The last call once more, with another answer.
    Again,
    /// Back by so many turns.
    Back(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::sample::select(vec!["go on", "and?", "go  on"]).prop_map(Step::Say),
        1 => Just(Step::Again),
        1 => (0_usize..3).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sessions that begin alike, at the same time, and whose answers differ: in what they say, or in the ids of their tools.
    #[test]
    fn sessions_never_mix_and_never_split(
        steps in prop::collection::vec((0_usize..4, step(), 0_usize..6), 1..60),
        named in any::<[bool; 4]>(),
        chat in any::<bool>(),
    ) {
        let mut gateway = Gateway { chat, ..Gateway::default() };
        let names = ["s1", "s2", "s3", "s4"];
        let mut talks: Vec<_> = (0..4).map(|at| {
            let session = named[at].then_some(names[at]);
            Client { session, ..Client::of_key("k") }.talk()
        }).collect();
        let mut conversations: Vec<Uuid> = Vec::new();
        for (at, talk) in talks.iter_mut().enumerate() {
            conversations.push(gateway.call(talk, "hello", Said::some(at, at)));
        }
        for (number, (at, step, kind)) in steps.into_iter().enumerate() {
            let (talk, said) = (&mut talks[at], Said::some(kind, number + 10));
            let found = match step {
                Step::Say(text) => gateway.call(talk, text, said),
                Step::Again if talk.messages.len() > 2 => {
                    talk.messages.truncate(talk.messages.len() - 2);
                    gateway.call(talk, "once more", said)
                }
                Step::Back(turns) => {
                    let left = talk.messages.len().saturating_sub(2 * turns).max(2);
                    talk.messages.truncate(left);
                    gateway.call(talk, "instead", said)
                }
                Step::Again => continue,
            };
            prop_assert_eq!(found, conversations[at]);
        }
        prop_assert_eq!(conversations.iter().collect::<HashSet<_>>().len(), 4);
    }
}

#[test]
fn the_rows_that_are_kept_have_the_same_hashes() {
    let client =
        Client { tenant: Some("t"), session: Some("s"), user: Some("u"), key_name: Some("n"), ..Client::of_key("k") };
    let mut gateway = Gateway::default();
    let mut talk = client.talk();
    gateway.call(&mut talk, "hello", Said::text("Hi  there"));
    gateway.call(&mut talk, "and?", Said::text("Well."));
    let Some(Record::Request(row)) = &gateway.last else { panic!("no row") };
    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let place = row.place.as_ref().unwrap();
    assert_eq!(
        [
            hex(&row.turn_hash.unwrap()),
            hex(&row.previous_turn_hash.unwrap()),
            hex(&place.scope),
            hex(&place.messages),
            hex(&place.previous_without_words.unwrap()),
            row.conversation_id.unwrap().to_string(),
        ],
        [
            "7973eacf7afe99c79827f1a27142a10284b813841849be63b2a2191a266df99c",
            "a72ae83fea1d1b88fe88a4e17239e8ec52299b62e861e161468dcb30bcfc59c6",
            "3a3d6eee6f7bd552d1ce32e44ad4cccb",
            "493c9da90c828028ee5889789c9539a1",
            "9a5ad3ef9bce876c0535fa5a05e1aeb21ce2c8bc285f468f96a338a4e775df0a",
            "a5d74f28-68fa-8e2c-a34b-d92f2134ad07"
        ]
    );
}
