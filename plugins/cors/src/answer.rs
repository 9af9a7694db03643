//! What browsers are told: the headers of an answer to a preflight, and of other responses. They are made once, but for the origin.

use plugin_api::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    VARY,
};
use plugin_api::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plugin_api::{Body, Bytes, HeaderEdits, Outcome, Reply, header_value};

use crate::{Config, HeaderNameOrAny, OriginPattern};

/// What an upstream may say of it.
const OF_UPSTREAMS: [HeaderName; 3] =
    [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS];
/// What the answer to a preflight depends on.
const VARY_OF_PREFLIGHTS: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const VARY_BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What browsers are told.
#[derive(Debug)]
pub(crate) struct CorsHeaders {
    /// Whether any page may call, so that nothing depends on which it is.
    any_origin: bool,
    methods: Option<HeaderValue>,
    headers: AllowedHeaders,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum AllowedHeaders {
    /// Those that a page asks for. A `*` would not mean `authorization`.
    Asked,
    These(Option<HeaderValue>),
}

impl CorsHeaders {
    /// Those of these settings.
    pub(crate) fn new(config: &Config) -> Self {
        let list = |names: Vec<String>| header_value(names.join(", ").into_bytes());
        let named = |names: &[HeaderNameOrAny]| list(names.iter().cloned().map(String::from).collect());
        Self {
            any_origin: config.origins.contains(&OriginPattern::Any),
            methods: list(config.methods.iter().map(|method| method.get().to_string()).collect()),
            headers: match config.headers.contains(&HeaderNameOrAny::Any) {
                true => AllowedHeaders::Asked,
                false => AllowedHeaders::These(named(&config.headers)),
            },
            expose: named(&config.expose),
            credentials: config.credentials,
            max_age: HeaderValue::from(config.max_age.get().as_secs()),
        }
    }

    /// The answer to the preflight of a page that may call.
    pub(crate) fn preflight(&self, origin: &HeaderValue, request: &HeaderMap) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin(origin));
        headers.extend(self.methods.clone().map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
        let allowed = match &self.headers {
            AllowedHeaders::Asked => request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
            AllowedHeaders::These(names) => names.clone(),
        };
        headers.extend(allowed.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        headers.insert(VARY, VARY_OF_PREFLIGHTS);
        Reply {
            status: StatusCode::NO_CONTENT,
            headers,
            body: Body::Whole(Bytes::new()),
            outcome: Outcome::Cached,
            saved: None,
            sent: None,
            error_type: None,
        }
    }

    /// Edits the headers of a response to a page that may call; `None`: to anybody else.
    pub(crate) fn edit(&self, origin: Option<&HeaderValue>, response: &HeaderMap, edits: &mut HeaderEdits) {
        for name in OF_UPSTREAMS.iter().filter(|name| response.contains_key(*name)) {
            edits.remove(name.clone());
        }
        if !self.any_origin {
            // a cache must not give the answer for one page to another, and not that for none to any
            edits.append(VARY, VARY_BY_ORIGIN);
        }
        let Some(origin) = origin else { return };
        edits.set(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin(origin));
        if self.credentials {
            edits.set(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(names) = &self.expose {
            edits.set(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    fn origin(&self, origin: &HeaderValue) -> HeaderValue {
        if self.any_origin { ANY } else { origin.clone() }
    }
}
