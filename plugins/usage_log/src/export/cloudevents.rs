//! `CloudEvents` by HTTP: one event for each row, in batches. What the receiver will never take is set aside, so that the rest goes on.

mod event;
mod rejected_events;
mod request;

use std::ops::Range;

use async_trait::async_trait;
use journal::Position;

use crate::CloudEventsSettings;
use crate::consumers::{Delivery, Sink, SinkContext, SinkError};
use request::{Receiver, Verdict};

/// The most bytes of a request; receivers have limits of their own.
const BYTES: usize = 1 << 20;
/// Where so many events are refused one by one, and none is taken, it is not for what is in them.
const SAMPLES: usize = 8;
/// So often as few events as those are sent, if others were taken before them, until they are set aside.
const ATTEMPTS: usize = 5;

/// Sends events.
pub(crate) struct CloudEventsSink {
    settings: CloudEventsSettings,
    receiver: Receiver,
    context: SinkContext,
    /// How many events of the delivery between two places are dealt with.
    sent: (Option<(Position, Position)>, usize),
    /// Whether the receiver has taken anything yet, and how often it has refused all that it was sent since.
    has_taken: bool,
    refusals: usize,
}

impl CloudEventsSink {
    /// One that has sent nothing yet.
    pub(crate) fn new(settings: &CloudEventsSettings, context: SinkContext) -> Self {
        let (settings, receiver) = (settings.clone(), Receiver::new(settings));
        Self { settings, receiver, context, sent: (None, 0), has_taken: false, refusals: 0 }
    }

    /// Sends these events, from where the last attempt came to.
    async fn send(&mut self, events: &[Vec<u8>]) -> Result<(), SinkError> {
        while self.sent.1 < events.len() {
            let part = next_part(events, self.sent.1, self.settings.max_batch.as_usize());
            match self.receiver.post(&events[part.clone()]).await? {
                Verdict::Taken => self.has_taken = true,
                Verdict::Refused(why) => {
                    let rejected = self.isolate(events, part.clone(), why).await?;
                    self.set_aside(events, &rejected)?;
                }
            }
            (self.sent.1, self.refusals) = (part.end, 0);
        }
        Ok(())
    }

    /// Finds the events that are refused while others are taken; each of the others is taken then. An event is rejected only if it is refused
    /// once more in the end.
    async fn isolate(
        &mut self,
        events: &[Vec<u8>],
        part: Range<usize>,
        why: String,
    ) -> Result<Vec<(usize, String)>, SinkError> {
        let (mut parts, mut refused, mut is_taken) = (Vec::new(), Vec::new(), false);
        if part.len() == 1 {
            refused.push(part.start);
        } else {
            // elsewhere in each attempt: those to blame may stand together, with others behind them that are taken
            let from = part.start + self.refusals * SAMPLES % part.len();
            parts.extend(if from == part.start { halves(&part) } else { [part.start..from, from..part.end] });
        }
        while let Some(part) = parts.pop() {
            match self.receiver.post(&events[part.clone()]).await? {
                Verdict::Taken => (is_taken, self.has_taken) = (true, true),
                Verdict::Refused(_) if part.len() == 1 => refused.push(part.start),
                Verdict::Refused(_) => parts.extend(halves(&part)),
            }
            if !is_taken && refused.len() >= SAMPLES {
                break;
            }
        }
        if !is_taken && !self.is_convicted(refused.len() == part.len()) {
            return Err(SinkError { kind: "refused", why, retry_after: None });
        }
        let mut rejected = Vec::new();
        for at in refused {
            if let Verdict::Refused(why) = self.receiver.post(&events[at..=at]).await? {
                rejected.push((at, why));
            }
        }
        Ok(rejected)
    }

    /// Whether events that were refused without any other being taken are to blame for it: few of them, and again and again, by a receiver
    /// that took others before.
    fn is_convicted(&mut self, are_all_tried: bool) -> bool {
        self.refusals += 1;
        are_all_tried && self.has_taken && self.refusals >= ATTEMPTS
    }

    /// Keeps events that are rejected.
    fn set_aside(&self, events: &[Vec<u8>], rejected: &[(usize, String)]) -> Result<(), SinkError> {
        for (at, why) in rejected {
            rejected_events::append(self.context.journal.folder(), &events[*at], why).map_err(|error| SinkError {
                kind: "disk",
                why: error.to_string(),
                retry_after: None,
            })?;
            self.context.rejected(1);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for CloudEventsSink {
    async fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let places = Some((delivery.from, delivery.to));
        if self.sent.0 != places {
            self.sent = (places, 0);
        }
        let source = self.settings.source.as_str();
        let events = delivery.records.iter().map(|record| event::json(record, source));
        let events = events.collect::<Result<Vec<_>, _>>();
        let events = events.map_err(|error| SinkError { kind: "event", why: error.to_string(), retry_after: None })?;
        self.send(&events).await
    }

    fn merges_corrections(&self) -> bool {
        // an event says what its record says, with whichever others it is sent
        false
    }
}

/// The next events that go in one request, of which there is one at least.
fn next_part(events: &[Vec<u8>], from: usize, most: usize) -> Range<usize> {
    let mut bytes = 0;
    let fits = |event: &&Vec<u8>| {
        bytes += event.len() + 1;
        bytes <= BYTES
    };
    let count = events[from..].iter().take(most).take_while(fits).count();
    from..from + count.max(1)
}

/// The halves of a part, the first of them last.
fn halves(part: &Range<usize>) -> [Range<usize>; 2] {
    let middle = usize::midpoint(part.start, part.end);
    [middle..part.end, part.start..middle]
}

#[cfg(test)]
mod tests;
