//! What a format needs of the heads of a request and its response. It is copied as they pass, and only if a format names it.

use plugin_api::{Variable, Variables};

use super::format::TextFormat;
use super::variable::LogVariable;

/// Values by the number of their variable among those of the format that are captured.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    bytes: Vec<u8>,
    /// Where each value is; none where there is no such header.
    values: Vec<Option<(usize, usize)>>,
}

impl Captured {
    /// What the head of a request has. Values of the response are still to come.
    pub(super) fn of_request(format: &TextFormat, of: &Variables<'_>) -> Self {
        let mut captured = Self::default();
        for variable in captured_variables(format) {
            let value = if is_in_response(variable) { None } else { captured.copy(variable, of) };
            captured.values.push(value);
        }
        captured
    }

    /// Adds what the head of the response has.
    pub(super) fn add_response(&mut self, format: &TextFormat, of: &Variables<'_>) {
        for (at, variable) in captured_variables(format).enumerate() {
            if is_in_response(variable) {
                let value = self.copy(variable, of);
                if let Some(place) = self.values.get_mut(at) {
                    *place = value;
                }
            }
        }
    }

    /// The value with this number.
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let (from, to) = (*self.values.get(number)?)?;
        self.bytes.get(from..to)
    }

    fn copy(&mut self, variable: &Variable, of: &Variables<'_>) -> Option<(usize, usize)> {
        let from = self.bytes.len();
        variable.append(&mut self.bytes, of);
        let to = self.bytes.len();
        // a header that is there and empty is not one that is not there
        let is_there = match variable {
            Variable::Http(name) => of.request.headers.contains_key(name),
            Variable::SentHttp(name) | Variable::UpstreamHttp(name) => {
                of.response.is_some_and(|(_, headers)| headers.contains_key(name))
            }
            _ => to > from,
        };
        is_there.then_some((from, to))
    }
}

/// Whether a format names what a request's head has, or a response's. What a response's has is kept with what the request's has.
pub(super) fn captures(format: &TextFormat) -> (bool, bool) {
    (captured_variables(format).next().is_some(), captured_variables(format).any(is_in_response))
}

/// The variables of a format that are captured, in their order.
fn captured_variables(format: &TextFormat) -> impl Iterator<Item = &Variable> {
    format.variables().filter_map(|variable| match variable {
        LogVariable::Captured(variable) => Some(variable),
        _ => None,
    })
}

/// Whether a variable is captured from the response.
fn is_in_response(variable: &Variable) -> bool {
    matches!(variable, Variable::SentHttp(_) | Variable::UpstreamHttp(_))
}
