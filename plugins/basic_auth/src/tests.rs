use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_api::http::{HeaderMap, Method};
use plugin_api::testing::{self, TestRequest, context};
use plugin_api::{Common, HeaderEdit};
use serde_json::json;

use super::*;

/// The password of all is `password`: apr1, bcrypt and SHA.
const FILE: &str =
    "alice:$apr1$zAbOclVq$1DnEDWuFnIIUEX/MF4UrH0\nbob:$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu\n";

/// A folder of the test's own, with a file of users in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, contents: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("basic-auth-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("users"), contents).unwrap();
        Self(folder)
    }

    fn plugin(&self, settings: serde_json::Value) -> Result<BasicAuth, ConfigProblem> {
        let (shared, secrets, common) = (Arc::default(), Arc::from([]), Arc::new(Common::default()));
        let context = BuildContext { base: &self.0, shared: &shared, secrets: &secrets, common: &common };
        BasicAuth::build(&serde_json::from_value(settings).unwrap(), &context)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What becomes of a request with this `authorization`: the caller's name and whether the header goes on, or the refusal.
async fn ask(plugin: &BasicAuth, authorization: Option<&'static str>) -> Result<(String, bool), Box<Refusal>> {
    ask_from(plugin, None, authorization).await
}

async fn ask_from(
    plugin: &BasicAuth,
    client: Option<IpAddr>,
    authorization: Option<&'static str>,
) -> Result<(String, bool), Box<Refusal>> {
    let mut request = TestRequest::asking(Method::GET, "/");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let mut context = context();
    context.client = client;
    let mut seen = request.request(&mut context);
    let flow = testing::on_request(plugin, &mut (), &mut seen).await;
    let stays = !seen.edits.iter().any(|edit| matches!(edit, HeaderEdit::Remove(name) if name == AUTHORIZATION));
    match flow {
        Flow::Continue => Ok((context.principal().key_name.as_deref().unwrap_or_default().to_owned(), stays)),
        Flow::Refuse(refusal) => Err(refusal),
        Flow::Answer(reply) => panic!("{reply:?}"),
    }
}

fn credentials(authorization: &'static str) -> Credentials {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(authorization))]);
    Credentials::of(&headers).unwrap()
}

const ALICE: &str = "Basic YWxpY2U6cGFzc3dvcmQ=";
const BOB: &str = "Basic Ym9iOnBhc3N3b3Jk";
const WRONG: &str = "Basic Ym9iOnBhc3N3b3Jl";
const NOBODY: &str = "Basic Y2Fyb2w6cGFzc3dvcmQ=";

#[tokio::test]
async fn who_has_a_password_is_known_by_name_and_the_password_stays_here() {
    let folder = Folder::new("known", FILE);
    let plugin = folder.plugin(json!({ "file": "users" })).unwrap();
    // the second time without hashing it
    for _ in 0..2 {
        assert_eq!(ask(&plugin, Some(ALICE)).await.unwrap(), ("alice".to_owned(), false));
        assert_eq!(ask(&plugin, Some(BOB)).await.unwrap(), ("bob".to_owned(), false));
        for (value, reason) in [
            (Some(WRONG), "wrong_credentials"),
            (Some(NOBODY), "wrong_credentials"),
            (Some("Bearer sk-1"), "no_credentials"),
            (None, "no_credentials"),
        ] {
            let refusal = ask(&plugin, value).await.unwrap_err();
            assert_eq!((refusal.status().as_u16(), refusal.reason()), (401, reason), "{value:?}");
            let reply = refusal.into_reply(plugin_api::Protocol::ANTHROPIC, plugin_api::testing::ID);
            assert_eq!(reply.headers[WWW_AUTHENTICATE], "Basic realm=\"tollgate\", charset=\"UTF-8\"");
        }
    }
    let forwarding = folder.plugin(json!({ "file": "users", "forward_credentials": true, "realm": "LLM" })).unwrap();
    assert_eq!(ask(&forwarding, Some(ALICE)).await.unwrap(), ("alice".to_owned(), true));
}

#[tokio::test]
async fn many_requests_with_one_password_hash_it_once() {
    let folder = Folder::new("many", FILE);
    let plugin = Arc::new(folder.plugin(json!({ "file": "users" })).unwrap());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let plugin = plugin.clone();
        asking.spawn(async move { ask(&plugin, Some(BOB)).await.map_err(|refusal| refusal.reason()) });
    }
    let came = asking.join_all().await;
    assert!(came.iter().all(|came| came.as_ref().is_ok_and(|(name, _)| name == "bob")), "{came:?}");
}

#[tokio::test]
async fn a_client_that_guesses_is_refused_and_neither_delays_nor_displaces_others() {
    let folder = Folder::new("guesses", FILE);
    let plugin = Arc::new(folder.plugin(json!({ "file": "users" })).unwrap());
    let client = |last| Some(IpAddr::from([192, 0, 2, last]));
    assert!(ask_from(&plugin, client(1), Some(ALICE)).await.is_ok());
    let guess = |number| {
        let credentials = STANDARD.encode(format!("bob:guess-{number}"));
        &*Box::leak(format!("Basic {credentials}").into_boxed_str())
    };
    let mut guesses = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (plugin, guess) = (plugin.clone(), guess(number));
        guesses.spawn(async move { ask_from(&plugin, client(2), Some(guess)).await.unwrap_err().reason() });
    }
    // each goes as far as it can without waiting
    tokio::task::yield_now().await;
    assert_eq!(ask_from(&plugin, client(3), Some(BOB)).await.unwrap().0, "bob");
    assert!(plugin.file.knew(&credentials(ALICE)).is_some(), "known as before");
    let unanswered = guesses.len();
    let refused: Vec<_> = guesses.join_all().await;
    let count = |wanted| refused.iter().filter(|reason| **reason == wanted).count();
    assert_eq!(count("wrong_credentials") + count("too_many_logins"), unanswered);
    assert!(count("too_many_logins") >= 60 && count("wrong_credentials") >= 30, "{refused:?}");
}

#[test]
fn a_file_that_cannot_be_used_says_where_it_is_wrong_and_shows_no_hash() {
    for (contents, wanted) in [
        ("", "has no users"),
        ("alice:secret-word\n", "users:1: the password of `alice` is not in a form"),
        ("# x\nalice\n", "users:2: is no `NAME:HASH`"),
    ] {
        let folder = Folder::new("wrong", contents);
        let problem = folder.plugin(json!({ "file": "users" })).unwrap_err();
        assert!(problem.message().contains(wanted) && !problem.message().contains("secret"), "{problem}");
    }
    let folder = Folder::new("missing", FILE);
    assert!(folder.plugin(json!({ "file": "none" })).unwrap_err().message().contains("cannot be read"));
}

#[test]
fn a_realm_has_no_quotes() {
    for realm in ["", "a\"b", "gr\u{fc}n", "a\nb"] {
        assert!(serde_json::from_value::<Config>(json!({ "file": "f", "realm": realm })).is_err(), "{realm}");
    }
}
