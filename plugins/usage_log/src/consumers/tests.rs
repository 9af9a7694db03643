use std::sync::Mutex;

use async_trait::async_trait;
use plugin_api::Uuid;

use super::*;
use crate::ledger_journal::LedgerJournal;
use crate::tests::Folder;
use crate::{Record, Row};

/// A sink that fails as often as it is told, and keeps what it takes.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<(usize, Vec<u128>)>>);

#[async_trait]
impl Sink for Taken {
    async fn deliver(&mut self, Delivery { records, .. }: &Delivery) -> Result<(), SinkError> {
        let mut taken = self.0.lock().unwrap();
        if taken.0 > 0 {
            taken.0 -= 1;
            return Err(SinkError { kind: "connection", why: "nobody listens".into(), retry_after: None });
        }
        taken.1.extend(records.iter().map(|record| match record {
            Record::Request(row) => row.id.as_u128(),
            Record::Batch(_) => 0,
        }));
        Ok(())
    }
}

impl Taken {
    fn fails(&self, times: usize) {
        self.0.lock().unwrap().0 = times;
    }

    fn ids(&self) -> Vec<u128> {
        self.0.lock().unwrap().1.clone()
    }
}

fn metrics() -> Arc<LedgerMetrics> {
    Arc::new(LedgerMetrics::new())
}

fn append(journal: &LedgerJournal, ids: std::ops::Range<u128>) {
    for id in ids {
        journal.append(&mut Record::Request(Box::new(Row { id: Uuid::from_u128(id), ..Row::default() })));
    }
}

/// Has a worker consume until it ends by this order.
async fn consume(journal: &LedgerJournal, sink: &Taken, order: Order) {
    let consumer = journal.get().consumer("test", encoding::decode).unwrap();
    let (orders, given) = watch::channel(Order::Go);
    let progress = Arc::new(ConsumerProgress::new("test", &journal.get()));
    let worker = Worker::new(consumer, Box::new(sink.clone()), given, metrics(), progress);
    let end = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        orders.send_replace(order);
    };
    tokio::join!(worker.run(), end);
}

#[tokio::test]
async fn what_a_sink_does_not_take_comes_again_in_order_and_once_it_has_it_no_more() {
    let folder = Folder::new();
    let (journal, _reader) = LedgerJournal::open(&folder.0, 1 << 30, metrics()).unwrap();
    let sink = Taken::default();
    let later = || Order::Finish(Instant::now() + Duration::from_secs(60));
    // positions begin where a consumer is first known
    consume(&journal, &sink, later()).await;
    append(&journal, 1..1200);
    sink.fails(usize::MAX);
    consume(&journal, &sink, Order::Stop).await;
    assert_eq!((sink.ids().len(), journal.get().lag("test")), (0, 1199));
    // a sink that is down does not hold up the end
    consume(&journal, &sink, later()).await;
    sink.fails(0);
    consume(&journal, &sink, later()).await;
    assert_eq!((sink.ids(), journal.get().lag("test")), ((1..1200).collect(), 0));
    consume(&journal, &sink, later()).await;
    assert_eq!(sink.ids().len(), 1199);
}
