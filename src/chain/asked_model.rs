//! Puts the model that the client asked for back into an answer, at the bottom of the chain: every plugin sees the answer as the client
//! will.

use plugin_api::{
    BatchResult, Call, Chunk, Flow, ModelCall, Needs, OutgoingCall, Part, Record, Request, Response, is_text_of_an_api,
};
use protocols::with_model;

use super::erased::{Instance, Step};

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

    fn on_request<'a>(&'a mut self, _: &'a mut Request<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn on_forward(&mut self, _: &mut Request<'_>) {}

    fn on_call<'a>(&'a mut self, _: &'a mut Call<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn sends(&mut self, _: &ModelCall) -> bool {
        false
    }

    fn on_send<'a>(&'a mut self, _: &'a mut OutgoingCall<'_>) -> Step<'a, Flow> {
        Step::Done(Flow::Continue)
    }

    fn on_response<'a>(&'a mut self, _: &'a mut Response<'_>) -> Step<'a, ()> {
        Step::Done(())
    }

    fn transforms(&mut self, response: &Response<'_>) -> bool {
        response.status.is_success() && is_text_of_an_api(response.headers)
    }

    fn on_part(&mut self, part: &mut Part<'_>) {
        if let Some(changed) = with_model(&part.data(), &self.0) {
            part.set_data(changed);
        }
    }

    fn on_chunk(&mut self, _: &mut Chunk<'_>) {}

    fn on_batch_result(&mut self, _: &Record, _: &BatchResult) {}

    fn before_last_byte(&mut self, _: &Record) {}

    fn on_complete(&mut self, _: &Record) {}
}
