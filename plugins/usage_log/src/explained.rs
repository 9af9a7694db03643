//! What the ledger says of a request for `tollgate explain`: where its row goes, what is kept with it, and by which price it is billed.

use plugin_api::{Explanation, ModelCall};

use crate::UsageLog;

impl UsageLog {
    /// Says where the row goes, and what is kept with it.
    pub(crate) fn explain_kept(&self, explanation: &mut Explanation) {
        explanation.say(format!("its row goes to {}", self.database));
        let bodies = [
            ("the body of the request", self.store.request_body),
            ("the body of the answer", self.store.response_body),
            ("the pieces of the answer", self.store.chunks),
        ];
        let kept: Vec<_> = bodies.iter().filter(|(_, is_kept)| *is_kept).map(|(what, _)| *what).collect();
        explanation.say(match kept[..] {
            [] => "no body is kept".to_owned(),
            _ => format!("it keeps {}, of each the first {} bytes", kept.join(", "), self.store.max_body.get()),
        });
    }

    /// Says by which price a call is billed.
    pub(crate) fn explain_price(&self, call: &ModelCall, explanation: &mut Explanation) {
        let Some(model) = call.upstream_model() else { return };
        explanation.say(match self.prices.name(model) {
            Some(name) => format!("{model} is billed by the price of {name}"),
            None => format!("{model} has no known price, so its cost is not known"),
        });
    }
}
