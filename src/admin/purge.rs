//! `DELETE /cache`: removes kept answers, by tenant, model, or all of them. What a purge is carried out on is not known here.

use std::pin::Pin;

use hyper::StatusCode;
use serde_json::json;

use super::answer::{self, Answer};

/// Carries out a purge of what belongs to this tenant, and to this model, where they are named.
pub type Purger = Box<dyn Fn(Option<String>, Option<String>) -> Purging + Send + Sync>;

/// A purge under way.
pub type Purging = Pin<Box<dyn Future<Output = Purged> + Send>>;

/// What became of a purge.
#[derive(Clone, Copy, Debug)]
pub struct Purged {
    /// How many answers went from this gateway's memory.
    pub entries: u64,
    /// Whether the other gateways have been told; `None` where nothing is shared.
    pub told: Option<bool>,
}

/// Purges what the query names.
pub(super) async fn purge(query: Option<&str>, purger: &Purger) -> Answer {
    let (tenant, model) = match wanted(query.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(message) => return answer::error(StatusCode::BAD_REQUEST, "bad_request", &message),
    };
    let purged = purger(tenant, model).await;
    // one that the others have yet to hear of is only accepted
    let status = if purged.told == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    answer::json(status, &json!({ "purged": purged.entries, "shared": purged.told }))
}

/// The tenant and the model that a query names.
fn wanted(query: &str) -> Result<(Option<String>, Option<String>), String> {
    let (mut tenant, mut model, mut all) = (None, None, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = unescaped(value).ok_or_else(|| format!("the value of `{key}` cannot be read"))?;
        let place = match key {
            "tenant" => &mut tenant,
            "model" => &mut model,
            "all" if matches!(value.as_str(), "" | "1" | "true") => {
                all = true;
                continue;
            }
            _ => return Err(format!("found `{pair}`, wanted `tenant=…`, `model=…` or `all`")),
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

/// The text behind percent-encoding (RFC 3986 §2.1).
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_tenant_a_model_both_or_all() {
        let some = |text: &str| Some(text.to_owned());
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
