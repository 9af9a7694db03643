//! Puts the model that the client asked for back into an answer, at the bottom of the chain: every plugin sees the answer as the client
//! will.

use plugin_api::{Needs, Part, Response, is_text_of_an_api};
use protocols::with_model;

use super::erased::Instance;

/// The model that a client asked for.
pub(super) struct AskedModel(Box<str>);

impl AskedModel {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }
}

impl Instance for AskedModel {
    fn name(&self) -> &'static str {
        "models"
    }

    fn needs(&self) -> Needs {
        Needs { transform: true, ..Needs::NOTHING }
    }

    fn transforms(&mut self, response: &Response<'_>) -> bool {
        response.status.is_success() && is_text_of_an_api(response.headers)
    }

    fn on_part(&mut self, part: &mut Part<'_>) {
        if let Some(changed) = with_model(&part.data(), &self.0) {
            part.set_data(changed);
        }
    }
}
