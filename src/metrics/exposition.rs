//! Families of metrics → Prometheus' text format 0.0.4.

use plugin_api::LogLimit;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, TextEncoder};

/// Counters that do not end with `_total`, since dashboards and conventions have named them. A linter takes that for an error in a counter, so
/// they are shown without a type; Prometheus makes no difference.
const UNTYPED: [&str; 2] = ["gen_ai_client_inference_tokens", "pg_stat_statements_total_time"];

/// The text.
pub(super) fn text(mut families: Vec<MetricFamily>) -> Vec<u8> {
    // the encoder ends at a family without samples, and all behind it would be lost
    families.retain(|family| !family.get_metric().is_empty());
    let (untyped, typed): (Vec<_>, Vec<_>) = families.into_iter().partition(|family| UNTYPED.contains(&family.name()));
    let mut text = Vec::with_capacity(16 << 10);
    write(&typed, &mut text);
    for family in untyped {
        let mut own = Vec::new();
        let typed = format!("# TYPE {} counter\n", family.name());
        write(&[family], &mut own);
        text.extend(String::from_utf8_lossy(&own).replacen(&typed, &typed.replace("counter", "untyped"), 1).bytes());
    }
    text
}

fn write(families: &[MetricFamily], text: &mut Vec<u8>) {
    if let Err(error) = TextEncoder::new().encode(families, text) {
        static FAILURES: LogLimit = LogLimit::new();
        if let Some(suppressed) = FAILURES.pass(()) {
            log::error!(error:%, suppressed; "metrics cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricType;

    use super::*;
    use crate::metrics::family::{counter, family};

    #[test]
    fn counters_have_their_type_unless_their_names_are_others() {
        let one = |name: &str| family(name, "Help", MetricType::COUNTER, vec![counter(Vec::new(), 7)]);
        let none = family("empty_total", "Help", MetricType::COUNTER, Vec::new());
        let text = text(vec![one(UNTYPED[0]), none, one("a_total")]);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "# HELP a_total Help\n# TYPE a_total counter\na_total 7\n\
             # HELP gen_ai_client_inference_tokens Help\n# TYPE gen_ai_client_inference_tokens untyped\ngen_ai_client_inference_tokens 7\n"
        );
    }
}
