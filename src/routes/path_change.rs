//! The path that goes upstream where it is another than the client's: without a prefix, or written anew.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url_path::{has_dot_segments, normalize, strip};

use super::template::{RouteTemplate, Scope, Use};

/// How a route changes the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// A prefix is taken off.
    Strip(StripPrefix),
    /// Another path takes its place.
    Rewrite(RewriteTemplate),
}

/// Why the changed path cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsendable;

impl PathChange {
    /// Whether it has what a group of the route's expression matched.
    #[must_use]
    pub fn uses_groups(&self) -> bool {
        match self {
            Self::Strip(_) => false,
            Self::Rewrite(RewriteTemplate(template)) => template.groups().next().is_some(),
        }
    }

    /// The prefix that it takes off, where it does that.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Self::Strip(prefix) => Some(&prefix.0),
            Self::Rewrite(_) => None,
        }
    }

    /// The path and the query to send; `None` where they stay as they came. `target` is what the client sent, in origin form.
    ///
    /// # Errors
    /// The new path has dots as segments, which would lead out of the place that the route names.
    pub fn apply(&self, target: &[u8], scope: &Scope<'_>) -> Result<Option<Vec<u8>>, Unsendable> {
        let mark = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at(mark);
        match self {
            Self::Strip(prefix) => Ok(strip(path, &prefix.0).map(|path| [&*path, query].concat())),
            Self::Rewrite(RewriteTemplate(template)) => {
                let mut new = template.expand(scope, Use::Target);
                let end = memchr::memchr(b'?', &new);
                let path = std::str::from_utf8(&new[..end.unwrap_or(new.len())]).map_err(|_| Unsendable)?;
                if !path.starts_with('/') || has_dot_segments(path) {
                    return Err(Unsendable);
                }
                // a query that is empty is none, as to nginx
                if end.is_none() && query.len() > 1 {
                    new.extend_from_slice(query);
                }
                Ok(Some(new))
            }
        }
    }
}

/// A prefix of whole segments, in the normal form, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct StripPrefix(String);

impl StripPrefix {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StripPrefix {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let bare = written.trim_end_matches('/');
        if bare.is_empty() || !written.starts_with('/') {
            return Err(format!("`{written}` is no prefix to take off; write `/openai`"));
        }
        match normalize(bare) {
            Ok(Cow::Borrowed(_)) if bare == written => Ok(Self(written)),
            Ok(Cow::Borrowed(_)) => Err(format!("whole segments are taken off; write `{bare}`")),
            _ => Err(format!(
                "paths are matched decoded, so `{written}` is a prefix of none; write it without `%`, `.` and `..`"
            )),
        }
    }
}

impl From<StripPrefix> for String {
    fn from(prefix: StripPrefix) -> Self {
        prefix.0
    }
}

/// A path, and a query perhaps, with variables in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RewriteTemplate(RouteTemplate);

impl RewriteTemplate {
    /// The template.
    #[must_use]
    pub fn template(&self) -> &RouteTemplate {
        &self.0
    }
}

impl TryFrom<String> for RewriteTemplate {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if !written.starts_with(['/', '$']) {
            return Err(format!("`{written}` is not a path; it must begin with `/`"));
        }
        if written.contains('#') || !written.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "`{written}` is not a path as it is sent; write what is not ASCII, spaces and `#` with `%`"
            ));
        }
        let template = RouteTemplate::try_from(written)?;
        let path = template.as_text().map(|text| text.split('?').next().unwrap_or_default());
        if path.is_some_and(|path| normalize(path).is_err() || has_dot_segments(path)) {
            return Err(format!("`{}` leads elsewhere than it says; write it without `.` and `..`", template.as_str()));
        }
        Ok(Self(template))
    }
}

impl From<RewriteTemplate> for String {
    fn from(template: RewriteTemplate) -> Self {
        template.0.into()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use plugin_api::testing::{TestRequest, context};

    use super::*;
    use crate::routes::regex::RouteRegex;

    fn applied(change: &PathChange, target: &str) -> Result<Option<String>, Unsendable> {
        let path = normalize(target.split('?').next().unwrap()).unwrap();
        let regex = RouteRegex::parse("~ ^/img(.*)$").unwrap().unwrap();
        let (test, mut context) = (TestRequest::asking(Method::GET, target), context());
        let request = test.request(&mut context);
        change
            .apply(target.as_bytes(), &Scope { variables: request.variables(), groups: regex.captures(&path) })
            .map(|sent| sent.map(|sent| String::from_utf8(sent).unwrap()))
    }

    fn rewrite(written: &str) -> PathChange {
        PathChange::Rewrite(written.to_owned().try_into().unwrap())
    }

    #[test]
    fn a_prefix_is_taken_off_and_every_other_byte_stays() {
        let change = PathChange::Strip("/openai".to_owned().try_into().unwrap());
        for (target, sent) in [
            ("/openai/v1/models?a=%20&b", Some("/v1/models?a=%20&b")),
            ("/openai", Some("/")),
            ("/openai?a", Some("/?a")),
            ("/openai/%2e/a%2Fb?x=/openai", Some("/%2e/a%2Fb?x=/openai")),
            ("/openaix", None),
            ("/v1", None),
        ] {
            assert_eq!(applied(&change, target), Ok(sent.map(str::to_owned)), "{target}");
        }
        for (written, wanted) in [
            ("/", "no prefix"),
            ("openai", "no prefix"),
            ("/openai/", "write `/openai`"),
            ("/a/../b", "matched decoded"),
            ("/%61", "matched decoded"),
        ] {
            assert!(StripPrefix::try_from(written.to_owned()).unwrap_err().contains(wanted), "{written}");
        }
    }

    #[test]
    fn a_path_written_anew_keeps_the_query_unless_it_has_one() {
        for (written, target, sent) in [
            ("/i$1", "/img/a?x=1", "/i/a?x=1"),
            ("/i$1", "/img/a", "/i/a"),
            ("/i$1", "/img/a?", "/i/a"),
            ("/i$1?y=2", "/img/a?x=1", "/i/a?y=2"),
            ("/i$1?", "/img/a?x=1", "/i/a?"),
            ("/i$1", "/img//a%2Fb%3F", "/i/a/b%3F"),
            ("/i/$1", "/img/a", "/i//a"),
            ("/health", "/img/a", "/health"),
        ] {
            assert_eq!(applied(&rewrite(written), target), Ok(Some(sent.to_owned())), "{written} {target}");
        }
        for written in ["health", "/a b", "/é", "/a#b", "/a/../b", "/%zz", "/a/."] {
            assert!(RewriteTemplate::try_from(written.to_owned()).is_err(), "{written}");
        }
    }

    #[test]
    fn what_a_group_brings_never_leads_out_of_the_new_path() {
        for (written, target) in [("/i/$1", "/img.."), ("/i/$1/x", "/img."), ("$1", "/img"), ("/i/.$1", "/img.")] {
            assert_eq!(applied(&rewrite(written), target), Err(Unsendable), "{written} {target}");
        }
        assert_eq!(applied(&rewrite("/i/$1"), "/img..."), Ok(Some("/i/...".to_owned())));
    }
}
