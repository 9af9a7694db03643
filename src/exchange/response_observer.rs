//! Reads a copy of an answer as it passes. A fault of the reader ends the reading and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::error;
use plugin_api::{
    Answer, AnswerState, BatchResult, Batched, LogLimit, Record, Usage, shortened_answer, shortened_result,
};
use protocols::{AnswerReader, BatchReader};

/// The reader of the answer that is passing.
#[derive(Debug, Default)]
pub enum ResponseObserver {
    /// None: the contents are not needed, or it is not an answer to a call.
    #[default]
    Nothing,
    /// An answer of the upstream.
    Answer(Box<AnswerReader>),
    /// An answer that a plugin replays.
    Saved(Box<AnswerReader>),
    /// The results of a batch.
    Batch(Box<BatchReader>),
}

/// The contents of bytes of an answer.
#[derive(Debug, Default)]
pub struct Observed {
    /// Whether content has come, now or before.
    pub content: bool,
    /// Results of a batch.
    pub results: Vec<BatchResult>,
}

impl ResponseObserver {
    /// Reads bytes that are passing, decoded and parsed in line with them: it takes about a microsecond for an event.
    pub fn observe(&mut self, bytes: &[u8], last: bool) -> Observed {
        let mut observed = Observed::default();
        let read = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Nothing => {}
            Self::Answer(reader) | Self::Saved(reader) => {
                reader.feed(bytes);
                if last {
                    reader.finish();
                }
                observed.content = reader.has_content();
            }
            Self::Batch(reader) => {
                let mut keep = |result: BatchResult| observed.results.push(shortened_result(result));
                reader.feed(bytes, &mut keep);
                if last {
                    reader.finish(&mut keep);
                }
            }
        }));
        if read.is_err() {
            static PANICS: LogLimit = LogLimit::new();
            if let Some(suppressed) = PANICS.pass(()) {
                error!(suppressed; "the reader of answers panicked; the answer passes unread");
            }
            *self = Self::Nothing;
        }
        observed
    }

    /// Whether a stream has said that it is complete, whatever comes behind that.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Answer(reader) | Self::Saved(reader) => reader.has_ended(),
            Self::Nothing | Self::Batch(_) => false,
        }
    }

    /// Puts the known facts of a replayed answer into the record, in place of those read from its bytes.
    pub fn replace_saved(&mut self, answer: Answer, record: &mut Record) {
        if let Self::Saved(_) = self {
            *self = Self::Nothing;
            record.saved = Some(answer.into());
        }
    }

    /// Puts the facts of a whole answer into the record.
    pub fn finish(&mut self, record: &mut Record) {
        // a fault of the reading leaves the record without it
        let ended = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Answer(reader) | Self::Saved(reader) => reader.finish(),
            Self::Nothing | Self::Batch(_) => {}
        }));
        match (ended, &self) {
            // its results go on to come until it ends
            (Ok(()), Self::Batch(_)) => {}
            (Ok(()), _) => self.conclude(record),
            (Err(_), _) => *self = Self::Nothing,
        }
    }

    /// Puts the facts read so far into the record.
    pub fn conclude(&mut self, record: &mut Record) {
        let conclude = |reader: Box<AnswerReader>| {
            catch_unwind(AssertUnwindSafe(|| shortened_answer(reader.into_answer()).into())).ok()
        };
        match std::mem::take(self) {
            Self::Answer(reader) => {
                record.answer = conclude(reader);
                if let (Some(batched), Some(answer)) = (&record.context.batched, &mut record.answer)
                    && (batched.is_usage_elsewhere() || is_cut_off(batched, answer))
                {
                    answer.usage = Some(Usage::default());
                }
                if record.answer.is_some() {
                    add_discarded(record);
                }
            }
            Self::Saved(reader) => record.saved = conclude(reader),
            Self::Nothing | Self::Batch(_) => {}
        }
    }
}

/// Whether less than the whole answer of a batch is read: all that it used is booked as that of a late result.
fn is_cut_off(batched: &Batched, answer: &Answer) -> bool {
    batched.answer().is_some() && answer.state != AnswerState::Complete
}

/// Adds to the usage of the record what was paid for and discarded, once. A call without an answer has that usage alone.
pub fn add_discarded(record: &mut Record) {
    if let Some(discarded) = record.context.discarded_usage.take() {
        match &mut record.answer.get_or_insert_default().usage {
            Some(usage) => usage.add(&discarded),
            none => *none = Some(*discarded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use http::{HeaderMap, StatusCode};
    use plugin_api::{BatchedAnswer, Endpoint, Uuid};

    use super::*;

    #[test]
    fn usage_that_is_in_the_ledger_by_another_way_is_not_in_the_record() {
        let answer = br#"{"type":"message","role":"assistant","content":[],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":3}}"#;
        let used = |is_elsewhere: bool| {
            let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
            let batched = Arc::new(Batched::default());
            record.context.batched = Some(batched.clone());
            let reader = AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &HeaderMap::new());
            let mut observer = ResponseObserver::Answer(Box::new(reader));
            observer.observe(answer, true);
            if is_elsewhere {
                batched.usage_is_elsewhere();
            }
            observer.conclude(&mut record);
            record.answer.unwrap().usage.unwrap().tokens
        };
        assert_eq!((used(false).input, used(false).output), (Some(7), Some(3)));
        assert_eq!(used(true), Default::default());
    }

    #[test]
    fn a_part_of_a_batchs_answer_has_no_usage_since_the_whole_of_it_is_booked_later() {
        let stream = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
        for is_of_batch in [false, true] {
            let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
            let batched = Arc::new(Batched::default());
            record.context.batched = Some(batched.clone());
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "text/event-stream".parse().unwrap());
            let mut observer =
                ResponseObserver::Answer(Box::new(AnswerReader::new(Endpoint::MESSAGES, StatusCode::OK, &headers)));
            observer.observe(stream, false);
            if is_of_batch {
                batched.answered(BatchedAnswer { batch: "b".into(), waited: std::time::Duration::ZERO });
            }
            observer.conclude(&mut record);
            let answer = record.answer.unwrap();
            assert_eq!(answer.state, AnswerState::Partial);
            assert_eq!(answer.usage.unwrap().tokens.input, (!is_of_batch).then_some(7));
        }
    }

    #[test]
    fn usage_that_a_plugin_discarded_is_in_the_record_once() {
        let answer = br#"{"object":"list","data":[],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        let tokens = plugin_api::Tokens { input: Some(5), ..Default::default() };
        let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
        record.context.discarded_usage = Some(Box::new(Usage { tokens, ..Usage::default() }));
        let mut unanswered = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
        unanswered.context = record.context.clone();
        let reader = AnswerReader::new(Endpoint::EMBEDDINGS, StatusCode::OK, &HeaderMap::new());
        let mut observer = ResponseObserver::Answer(Box::new(reader));
        observer.observe(answer, true);
        observer.finish(&mut record);
        observer.conclude(&mut record);
        for (mut record, wanted) in [(record, 12), (unanswered, 5)] {
            add_discarded(&mut record);
            assert_eq!(record.answer.unwrap().usage.unwrap().tokens.input, Some(wanted));
        }
    }
}
