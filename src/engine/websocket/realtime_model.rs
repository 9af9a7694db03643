//! The model of a session, which its handshake names in the query: renamed there as the route's `models` and the fallbacks say.

use http::Uri;
use plugin_api::{Endpoint, SessionModel};

/// The name of the model, where it is certain.
#[derive(Clone, Debug)]
pub struct RealtimeModel {
    requested: String,
    renamed: Option<String>,
}

impl RealtimeModel {
    /// The model that a handshake to this endpoint names, if it names one.
    ///
    /// # Errors
    /// That servers could read different ones; what is wrong, for the caller.
    pub fn of(endpoint: Endpoint, target: &Uri) -> Result<Option<Self>, &'static str> {
        if !endpoint.websocket.is_some_and(|schema| schema.model_in_query) {
            return Ok(None);
        }
        let model = SessionModel::of(target.query());
        if model == SessionModel::Uncertain {
            return Err(
                "The query does not say for certain which model the session is for: it needs `model` once, in these letters, with a \
                 name of plain letters",
            );
        }
        Ok(model.name().map(|requested| Self { requested: requested.into_owned(), renamed: None }))
    }

    /// The name that the client asks for.
    #[must_use]
    pub fn requested(&self) -> &str {
        &self.requested
    }

    /// The name that the upstream is asked for, where it is another.
    #[must_use]
    pub fn renamed(&self) -> Option<&str> {
        self.renamed.as_deref()
    }

    /// The name that the upstream is asked for.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.renamed().unwrap_or(&self.requested)
    }

    /// Asks the upstream for this name.
    pub fn rename(&mut self, model: &str) {
        self.renamed = (model != self.requested).then(|| model.to_owned());
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
        let mut name = RealtimeModel::of(Endpoint::REALTIME, &target).unwrap().unwrap();
        assert_eq!((name.requested(), name.upstream(), name.target(&target)), ("fast", "fast", None));
        name.rename("gpt realtime");
        assert_eq!(name.target(&target).unwrap(), "/v1/realtime?a=%20&model=gpt%20realtime");
        assert_eq!((name.requested(), name.renamed()), ("fast", Some("gpt realtime")));
        name.rename("fast");
        assert_eq!(name.target(&target), None);
    }

    #[test]
    fn a_session_has_one_name_or_none_and_is_refused_where_servers_could_read_two() {
        let name = |endpoint, query: &str| {
            let target = format!("/v1/realtime?{query}").parse().unwrap();
            RealtimeModel::of(endpoint, &target).map(|name| name.map(|name| name.requested().to_owned()))
        };
        assert_eq!(name(Endpoint::REALTIME, "model=gpt%2Drealtime"), Ok(Some("gpt-realtime".to_owned())));
        assert_eq!(name(Endpoint::REALTIME, "intent=transcription"), Ok(None));
        for query in ["model=a&model=a", "MODEL=a", "model=a%2561", "model="] {
            assert!(name(Endpoint::REALTIME, query).is_err(), "{query}");
            assert_eq!(name(Endpoint::RESPONSES_WEBSOCKET, query), Ok(None), "its calls name their own");
        }
    }
}
