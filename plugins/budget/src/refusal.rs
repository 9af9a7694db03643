//! The refusal of a call that may not be paid for: which budget, whose it is, and when it begins anew.

use std::time::Duration;

use plugin_api::{Refusal, RefusalKind};
use quota::{Now, Standing};

use crate::amounts::{dollars, word};
use crate::budget::Budget;

/// The word for a budget that is used up, in metrics, rows and logs.
pub(crate) const USED_UP: &str = "budget";
/// The word for a model without a price.
pub(crate) const UNPRICED: &str = "unpriced";
/// The word for a call that does not say how long its answer may be.
pub(crate) const UNBOUNDED: &str = "no_max_tokens";
/// The word for a budget of which it is not known what was spent.
pub(crate) const UNKNOWN: &str = "unknown_spending";

/// A call that may cost so much does not fit. `is_held` says that calls in progress hold what it needs.
pub(crate) fn does_not_fit(
    budget: &Budget,
    whose: &str,
    picos: u64,
    standing: Standing,
    is_held: bool,
    now: Now,
) -> Refusal {
    let name = &budget.of.name;
    let allowed = format!("{} per {} for {whose}", dollars(standing.limit), word(budget.of.unit));
    if is_held {
        let message = format!(
            "Budget `{name}` is reserved for calls in progress: {allowed}. Try again when one of them has ended."
        );
        return Refusal::new(RefusalKind::TooManyRequests, USED_UP, message).retry_after(Duration::from_secs(1));
    }
    let reset = now.timestamp_ahead(standing.reset_nanos);
    let message = if standing.remaining == 0 {
        format!("Budget `{name}` is used up: {allowed}. It resets at {reset}.")
    } else {
        let (left, needed) = (dollars(standing.remaining), dollars(picos));
        format!("Budget `{name}` has {left} left of {allowed}, and this call may cost {needed}. It resets at {reset}.")
    };
    Refusal::new(RefusalKind::TooManyRequests, USED_UP, message)
        .retry_after(Duration::from_nanos(standing.reset_nanos))
        .not_to_be_retried()
}

/// The price of a call is not known.
pub(crate) fn unpriced(model: Option<&str>) -> Refusal {
    let message = match model {
        Some(model) => {
            format!("Calls here are held to a budget, and model `{model}` has no known price on these terms.")
        }
        None => "Calls here are held to a budget, and this one names no model whose price is known.".to_owned(),
    };
    Refusal::new(RefusalKind::Forbidden, UNPRICED, message)
}

/// A call does not say how long its answer may be.
pub(crate) fn unbounded() -> Refusal {
    let message = "Calls here are held to a budget by the most that they can cost: say how many tokens the answer may have \
         (`max_tokens`).";
    Refusal::new(RefusalKind::InvalidRequest, UNBOUNDED, message)
}

/// It is not known what was spent.
pub(crate) fn unknown(budget: &Budget) -> Refusal {
    let message = format!("It is not known yet what is left of budget `{}`.", budget.of.name);
    Refusal::new(RefusalKind::Unavailable, UNKNOWN, message).retry_after(Duration::from_secs(1))
}
