//! What the tests of plugins are built from: requests, and calls made of facts instead of read from a body.

use std::fmt::Write as _;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use uuid::Uuid;

use crate::{
    CallFacts, Context, Endpoint, HeaderEdits, ModelCall, ParsedBody, Principal, Protocol, Request, RequestHead,
    Response, RouteModels, ThinkingBudget, TokenField, TokenLimit, TokenLimitValue, UpstreamAddrs,
};

pub use crate::explanation::{on_call, on_request};

/// A new folder among the system's temporary ones, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct TestFolder(PathBuf);

impl TestFolder {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tollgate-test-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Deref for TestFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // a test that has removed it is as good
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The id of every [`context`] here.
pub const ID: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

/// A fresh context, with the id [`ID`].
#[must_use]
pub fn context() -> Context {
    Context::new(ID)
}

/// What a [`Request`] and its [`Response`] are borrowed from.
#[derive(Debug)]
pub struct TestRequest {
    endpoint: Option<Endpoint>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    models: RouteModels,
    principal: Option<Principal>,
}

impl TestRequest {
    /// A POST to an endpoint, without headers.
    #[must_use]
    pub fn to(endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::asking(Method::POST, &endpoint.example_path()) }
    }

    /// A request that is no call to a model, without headers. The path of its target is in its normal form.
    #[must_use]
    pub fn asking(method: Method, target: &str) -> Self {
        Self {
            endpoint: None,
            method,
            uri: target.parse().unwrap_or_default(),
            headers: HeaderMap::new(),
            models: RouteModels::default(),
            principal: None,
        }
    }

    /// With this caller, as a plugin above identified it.
    #[must_use]
    pub fn from(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its head, as a plugin sees it.
    #[must_use]
    pub fn request<'a>(&'a self, context: &'a mut Context) -> Request<'a> {
        if let Some(principal) = &self.principal {
            *context.principal_mut() = principal.clone();
        }
        Request {
            context,
            head: self.head(),
            uri: &self.uri,
            upstream: "test",
            models: &self.models,
            endpoint: self.endpoint,
            protocol: self.endpoint.map_or(Protocol::DEFAULT, |endpoint| endpoint.protocol),
            reads_messages: false,
            edits: HeaderEdits::default(),
        }
    }

    /// The head of a response to it, as a plugin sees it. No attempt was made to get it.
    #[must_use]
    pub fn response<'a>(
        &'a self,
        context: &'a mut Context,
        status: StatusCode,
        headers: &'a HeaderMap,
    ) -> Response<'a> {
        const NONE: &UpstreamAddrs = &UpstreamAddrs::NONE;
        Response { context, request: self.head(), upstream_addrs: NONE, status, headers, edits: HeaderEdits::default() }
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: self.uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes()),
            path: self.uri.path(),
            version: Version::HTTP_11,
            host: "test.example",
            server_name: "test.example",
            headers: &self.headers,
        }
    }
}

/// A body that could not be read for certain, for this reason.
#[must_use]
pub fn unreadable(endpoint: Endpoint, reason: &str) -> ModelCall {
    ModelCall::new(endpoint, Bytes::from_static(b"{"), None, ParsedBody::Unreadable(reason.to_owned()))
}

/// A body that is no JSON object.
#[must_use]
pub fn not_a_call(endpoint: Endpoint, body: &'static str) -> ModelCall {
    ModelCall::new(endpoint, Bytes::from_static(body.as_bytes()), None, ParsedBody::NotACall)
}

/// A batch of these calls.
#[must_use]
pub fn batch(calls: Vec<TestCall>) -> ModelCall {
    let mut text = String::from(r#"{"requests":["#);
    let mut facts = Vec::with_capacity(calls.len());
    for (place, call) in calls.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}{{"custom_id":"c{place}","params":"#);
        facts.push(CallFacts { place: Some(place), ..call.write(&mut text) });
        text.push('}');
    }
    text.push_str("]}");
    ModelCall::new(Endpoint::MESSAGE_BATCHES, text.into(), None, ParsedBody::Calls(facts))
}

/// One call, put together member by member; text and facts agree.
///
/// ```
/// # use plugin_api::{Endpoint, testing::TestCall};
/// let call = TestCall::new().model("claude-opus-5").max_tokens(4001).to(Endpoint::MESSAGES);
/// assert_eq!(call.text(), r#"{"model":"claude-opus-5","max_tokens":4001}"#);
/// ```
#[derive(Debug, Default)]
pub struct TestCall {
    members: String,
    // spans count from the first member
    facts: CallFacts,
}

impl TestCall {
    /// A call without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this model. Named again, the last counts, and the earlier ones stay known.
    #[must_use]
    pub fn model(mut self, name: &str) -> Self {
        self.member("model", &serde_json::Value::from(name).to_string());
        if let Some(earlier) = self.facts.model.replace(name.to_owned()) {
            self.facts.other_models.push(Some(earlier));
            self.facts.duplicate_keys = true;
        }
        self
    }

    /// With this `max_tokens`.
    #[must_use]
    pub fn max_tokens(self, tokens: u64) -> Self {
        self.limit(TokenField::MAX_TOKENS, &tokens.to_string(), TokenLimitValue::Tokens(tokens))
    }

    /// With a token limit under this name and in this spelling, which a reader takes for `asked`.
    #[must_use]
    pub fn limit(mut self, field: TokenField, spelling: &str, asked: TokenLimitValue) -> Self {
        self.facts.duplicate_keys |= self.facts.token_limits.iter().any(|limit| limit.field == field);
        self.member(field.as_str(), spelling);
        let at = self.members.len() - spelling.len()..self.members.len();
        self.facts.token_limits.push(TokenLimit { field, exact: true, asked, at });
        self
    }

    /// Asking for this many answers, as `n`.
    #[must_use]
    pub fn answers(mut self, n: u64) -> Self {
        self.member("n", &n.to_string());
        self.facts.answers = Some(n);
        self
    }

    /// With `thinking` enabled for this many tokens.
    #[must_use]
    pub fn thinking(mut self, tokens: u64) -> Self {
        let number = tokens.to_string();
        self.member("thinking", &format!(r#"{{"type":"enabled","budget_tokens":{number}}}"#));
        let at = self.members.len() - 1 - number.len()..self.members.len() - 1;
        self.facts.thinking_budgets.push(ThinkingBudget { member: "thinking", tokens, at });
        self
    }

    /// With a tool.
    #[must_use]
    pub fn tools(mut self) -> Self {
        self.member("tools", r#"[{"name":"t"}]"#);
        self.facts.tools = true;
        self
    }

    /// Asking for a stream.
    #[must_use]
    pub fn stream(mut self) -> Self {
        self.member("stream", "true");
        self.facts.stream = true;
        self
    }

    /// With any other member, which no fact tells of.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.member(key, value);
        self
    }

    /// As it arrives at an endpoint; [`batch`] is for those of many calls.
    #[must_use]
    pub fn to(self, endpoint: Endpoint) -> ModelCall {
        let mut text = String::new();
        let facts = self.write(&mut text);
        ModelCall::new(endpoint, text.into(), None, ParsedBody::Calls(vec![facts]))
    }

    fn member(&mut self, key: &str, value: &str) {
        let comma = if self.members.is_empty() { "" } else { "," };
        let _ = write!(self.members, "{comma}\"{key}\":{value}");
    }

    /// Appends it to a text; its facts, with their places in that text.
    fn write(self, text: &mut String) -> CallFacts {
        text.push('{');
        let mut facts = self.facts;
        facts.members_at = text.len();
        facts.has_members = !self.members.is_empty();
        for limit in &mut facts.token_limits {
            limit.at = limit.at.start + text.len()..limit.at.end + text.len();
        }
        for budget in &mut facts.thinking_budgets {
            budget.at = budget.at.start + text.len()..budget.at.end + text.len();
        }
        text.push_str(&self.members);
        text.push('}');
        facts
    }
}
