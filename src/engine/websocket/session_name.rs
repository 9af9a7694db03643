//! The model of a session, which its handshake names in the query: renamed there as the route's `models` and the fallbacks say.

use http::Uri;
use plugin_api::{Endpoint, SessionModel};

/// The name of the model, where it is certain.
#[derive(Clone, Debug)]
pub struct SessionName {
    asked: String,
    renamed: Option<String>,
}

impl SessionName {
    /// The model that a handshake to this endpoint names.
    #[must_use]
    pub fn of(endpoint: Endpoint, target: &Uri) -> Option<Self> {
        endpoint.websocket.filter(|schema| schema.model_in_query)?;
        let asked = SessionModel::of(target.query()).name()?.to_owned();
        Some(Self { asked, renamed: None })
    }

    /// The name that the client asks for.
    #[must_use]
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The name that the upstream is asked for, where it is another.
    #[must_use]
    pub fn renamed(&self) -> Option<&str> {
        self.renamed.as_deref()
    }

    /// The name that the upstream is asked for.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.renamed().unwrap_or(&self.asked)
    }

    /// Asks the upstream for this name.
    pub fn rename(&mut self, model: &str) {
        self.renamed = (model != self.asked).then(|| model.to_owned());
    }

    /// The target that goes upstream, where it is not the client's own.
    #[must_use]
    pub fn target(&self, target: &Uri) -> Option<Uri> {
        let query = SessionModel::of(target.query()).renamed(self.renamed()?)?;
        let mut parts = target.clone().into_parts();
        parts.path_and_query = Some(format!("{}?{query}", target.path()).parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_stands_in_the_query_and_the_clients_own_changes_nothing() {
        let target: Uri = "/v1/realtime?a=%20&model=fast".parse().unwrap();
        let mut name = SessionName::of(Endpoint::REALTIME, &target).unwrap();
        assert_eq!((name.asked(), name.upstream(), name.target(&target)), ("fast", "fast", None));
        name.rename("gpt realtime");
        assert_eq!(name.target(&target).unwrap(), "/v1/realtime?a=%20&model=gpt%20realtime");
        assert_eq!((name.asked(), name.renamed()), ("fast", Some("gpt realtime")));
        name.rename("fast");
        assert_eq!(name.target(&target), None);
        assert!(SessionName::of(Endpoint::RESPONSES_WEBSOCKET, &target).is_none());
    }
}
