//! One conversation with a provider about a submission. What it changes is another file's.

mod conclusions;

use std::sync::Arc;

use bytes::Bytes;
use plugin_api::Uuid;
use tokio::time::sleep;

use crate::call::Millis;
use crate::entry::Fact;
use crate::figures::Figures;
use crate::provider::{self, Handed, Link, Progress, Results, Submitted};
use crate::state::Phase;
use crate::store::{Inner, Store};
use crate::turn::Turn;

/// What is asked about a submission that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// Whether the provider has it.
    Find,
    /// How far it is.
    Poll,
    /// To cancel it.
    Cancel,
}

/// Something that is asked of a provider.
#[derive(Debug)]
pub(crate) struct Task {
    handed: Handed,
    ask: Ask,
}

#[derive(Debug)]
enum Ask {
    Submit(Vec<Bytes>),
    Find,
    Poll { batch: String, upstream: String },
    Cancel { batch: String, upstream: String },
}

impl Task {
    /// Records that these calls are about to be submitted. Where the disk does not take that, nothing will leave.
    pub(crate) fn submit(inner: &mut Inner, calls: Vec<Uuid>, now: Millis) -> Option<Self> {
        let submission = Uuid::now_v7();
        let bodies = calls.iter().filter_map(|call| Some(inner.state.calls.get(call)?.body.clone())).collect();
        if !inner.record(&Fact::Submitting { submission, calls, at: now }.into()) {
            return None;
        }
        Some(Self { handed: handed(inner, submission)?, ask: Ask::Submit(bodies) })
    }

    /// A question about a submission.
    pub(crate) fn about(inner: &mut Inner, submission: Uuid, question: Question) -> Option<Self> {
        let handed = handed(inner, submission)?;
        let phase = &inner.state.submissions.get(&submission)?.phase;
        let ask = match (question, phase) {
            (Question::Poll, Phase::Made { batch, upstream }) => {
                Ask::Poll { batch: batch.clone(), upstream: upstream.clone() }
            }
            (Question::Cancel, Phase::Made { batch, upstream }) => {
                Ask::Cancel { batch: batch.clone(), upstream: upstream.clone() }
            }
            _ => Ask::Find,
        };
        Some(Self { handed, ask })
    }

    /// Asks, and records what came of it. What is not on the disk is not sent.
    pub(crate) async fn run(self, store: Arc<Store>, link: Arc<dyn Link>, figures: Arc<Figures>, is_on_disk: bool) {
        let handed = self.handed;
        let _busy = Busy { store: store.clone(), submission: handed.id };
        match self.ask {
            Ask::Submit(bodies) => {
                let submitted = if is_on_disk {
                    provider::submit(&*link, &handed, bodies, &store.uploads).await
                } else {
                    Submitted::NotSent("the disk does not take it".to_owned())
                };
                store.lock().submitted(&figures, &handed, submitted);
            }
            Ask::Find => {
                // it may read results
                let _turn = store.reading.acquire().await;
                let known = |name: &str| store.lock().state.knows(name);
                let search = provider::find(&*link, &handed, &known).await;
                store.lock().searched(&figures, &handed, search);
            }
            Ask::Poll { batch, upstream } => {
                let group = &handed.group;
                match provider::poll(&*link, group, &upstream, &batch).await {
                    Progress::Over(files) => {
                        let turn = store.reading.acquire().await;
                        let read = provider::results(&*link, group, &upstream, &files.results).await;
                        let progress = match read {
                            Ok(results) => Progress::Ended(keep(&store, &handed, &batch, results).await),
                            Err(why) => Progress::Unclear(None, why),
                        };
                        store.lock().polled(&figures, &handed, &batch, progress);
                        drop(turn);
                        if store.is_over(handed.id) {
                            provider::delete(&*link, group, &upstream, &files.waste).await;
                        }
                    }
                    progress => store.lock().polled(&figures, &handed, &batch, progress),
                }
            }
            Ask::Cancel { batch, upstream } => {
                let is_taken = provider::cancel(&*link, &handed.group, &upstream, &batch).await;
                let mut inner = store.lock();
                if is_taken {
                    log::info!(batch:% = batch, upstream:% = upstream; "a batch is cancelled, whose answers nobody wants");
                    figures.submission("cancelled");
                    inner.note(Fact::Cancelled(handed.id));
                    inner.again(handed.id, None);
                } else {
                    inner.again(handed.id, None);
                }
            }
        }
        store.wake.notify_one();
    }
}

/// Records what came of the calls of a batch, a part at a time, since requests wait for the store's lock. Returns what has no room now.
async fn keep(store: &Store, handed: &Handed, batch: &str, results: Results) -> Results {
    let (mut lines, mut left) = (results.lines.into_iter(), Vec::new());
    while !lines.as_slice().is_empty() {
        let rest = {
            let mut inner = store.lock();
            let turn = Turn::begin();
            left.extend(inner.answered(handed, batch, &mut lines, turn));
            turn.rest()
        };
        if !lines.as_slice().is_empty() {
            sleep(rest).await;
        }
    }
    Results { lines: left, ..results }
}

/// A submission that is being asked about. Dropping it, where a task ends without having said what came of it, has it asked about again.
struct Busy {
    store: Arc<Store>,
    submission: Uuid,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.store.lock().forsaken(self.submission);
    }
}

/// A submission as a provider is asked about it. It is busy from now on.
fn handed(inner: &mut Inner, submission: Uuid) -> Option<Handed> {
    let of = inner.state.submissions.get_mut(&submission)?;
    of.is_busy = true;
    let in_doubt_since = if let Phase::Unclear { since } = of.phase { since } else { of.at };
    Some(Handed { id: of.id, group: of.group.clone(), calls: of.calls.clone(), at: of.at, in_doubt_since })
}
