//! `DELETE /cache` on the admin listener: purges answers by tenant, by model, or all.

use std::sync::Arc;

use http::{Method, StatusCode};
use plugin_api::{AdminAnswer, AdminRequest, AdminRoute};
use serde_json::json;

use crate::caches::Caches;
use crate::purges::Purge;

/// The route that purges these caches.
pub(crate) fn purge(caches: &Arc<Caches>) -> AdminRoute {
    let caches = caches.clone();
    AdminRoute::new(Method::DELETE, "/cache", move |request: AdminRequest| {
        let caches = caches.clone();
        async move { answer(&caches, &request).await }
    })
}

/// Carries out the purge that the query names.
async fn answer(caches: &Caches, request: &AdminRequest) -> AdminAnswer {
    let (tenant, model) = match wanted(request) {
        Ok(wanted) => wanted,
        Err(message) => return AdminAnswer::bad_request(&message),
    };
    let purged = caches.purge(Purge { tenant, model }).await;
    // accepted only, while other gateways have not received it
    let status = if purged.published == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    AdminAnswer::json(status, json!({ "purged": purged.entries, "shared": purged.published }))
}

/// The tenant and the model that a query names.
fn wanted(request: &AdminRequest) -> Result<(Option<String>, Option<String>), String> {
    let (mut tenant, mut model, mut all) = (None, None, false);
    for (key, value) in request.parameters()? {
        let place = match key.as_str() {
            "tenant" => &mut tenant,
            "model" => &mut model,
            "all" if matches!(value.as_str(), "" | "1" | "true") => {
                all = true;
                continue;
            }
            _ => return Err(format!("found `{key}`, wanted `tenant=…`, `model=…` or `all`")),
        };
        if value.is_empty() || place.replace(value).is_some() {
            return Err(format!("`{key}` is empty, or named twice"));
        }
    }
    match (&tenant, &model, all) {
        (None, None, false) => Err("nothing is named; wanted `tenant=…`, `model=…`, both, or `all`".into()),
        (None, None, true) | (_, _, false) => Ok((tenant, model)),
        _ => Err("`all` leaves nothing for `tenant` and `model` to name".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_tenant_a_model_both_or_all() {
        let some = |text: &str| Some(text.to_owned());
        let wanted = |query: &str| wanted(&AdminRequest { query: query.into() });
        assert_eq!(wanted("tenant=a%20b"), Ok((some("a b"), None)));
        assert_eq!(wanted("model=gpt-5&tenant=t"), Ok((some("t"), some("gpt-5"))));
        assert_eq!(wanted("all"), Ok((None, None)));
        for query in
            ["", "tenant=", "tenants=a", "model=a&model=b", "all&tenant=a", "all=0", "tenant=%zz", "tenant=%ff"]
        {
            assert!(wanted(query).is_err(), "{query}");
        }
    }
}
