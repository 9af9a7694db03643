//! Chooses a model by the rules of a name: the first whose conditions all hold.

use crate::condition::{Condition, Subject, Verdict};
use crate::settings::Router;

/// A model, and the rule that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice<'r> {
    pub(crate) model: &'r str,
    /// The place of the rule; `None` for `otherwise`.
    pub(crate) rule: Option<usize>,
    /// What would have to be known for another model to be ruled out; nothing of a call of which everything is.
    pub(crate) doubt: Option<Condition>,
}

impl Router {
    /// The model for a call.
    pub(crate) fn choose(&self, subject: &Subject<'_>) -> Choice<'_> {
        let mut doubts = Vec::new();
        let rule = self.rules.iter().position(|rule| match rule.when.judge(subject) {
            Verdict::Hold => true,
            Verdict::Fails(_) => false,
            Verdict::Unknown(condition) => {
                doubts.push((&*rule.model, condition));
                false
            }
        });
        let model = rule.map_or(&*self.otherwise, |rule| &*self.rules[rule].model);
        // a rule of which nothing is known does not matter where it has the same model
        let doubt = doubts.into_iter().find(|(other, _)| *other != model).map(|(_, condition)| condition);
        Choice { model, rule, doubt }
    }

    /// What `x-tollgate-rule` calls a rule: its name, else its number from 1.
    pub(crate) fn rule_name(&self, rule: Option<usize>) -> String {
        match rule {
            None => "otherwise".to_owned(),
            Some(place) => {
                let name = self.rules.get(place).and_then(|rule| rule.name.as_ref());
                name.map_or_else(|| (place + 1).to_string(), |name| name.as_str().to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_certain_where_every_rule_that_may_hold_has_it() {
        let router: Router = serde_json::from_value(json!({ "otherwise": "medium", "rules": [
            { "when": { "tools": true }, "model": "large" },
            { "when": { "input_tokens": ">1000" }, "model": "large" },
            { "when": { "text": "x" }, "model": "medium" },
        ] }))
        .unwrap();
        let of = |tokens| router.choose(&Subject { input_tokens: Some(tokens), ..Subject::default() });
        assert_eq!(of(2000), Choice { model: "large", rule: Some(1), doubt: None });
        assert_eq!(of(10), Choice { model: "medium", rule: None, doubt: Some(Condition::Tools) });
        let known = router.choose(&Subject { tools: Some(false), input_tokens: Some(10), ..Subject::default() });
        assert_eq!(known, Choice { model: "medium", rule: None, doubt: None });
    }
}
