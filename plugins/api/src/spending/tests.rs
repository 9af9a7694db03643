//! Who reads what, while others come.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;

/// Notes what it is told, and gets to know a ledger only once it may.
#[derive(Debug)]
struct Reader {
    told: Mutex<Vec<&'static str>>,
    begun: Sender<()>,
    may_go_on: Mutex<Receiver<()>>,
}

impl Reader {
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel());
        (Arc::new(Self { told: Mutex::default(), begun, may_go_on: Mutex::new(may_go_on) }), has_begun, go_on)
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.lock().unwrap().clone()
    }
}

impl SpendingReader for Reader {
    fn opened(&self, _: &OpenLedger, _: bool) {
        self.begun.send(()).unwrap();
        self.may_go_on.lock().unwrap().recv().unwrap();
        self.told.lock().unwrap().push("opened");
    }

    fn spent(&self, _: &Spent<'_>) {
        self.told.lock().unwrap().push("spent");
    }

    fn stored(&self, _: LedgerId, _: Option<u64>, _: &[StoredCounts<'_>]) {
        self.told.lock().unwrap().push("stored");
    }
}

fn weak(reader: &Arc<Reader>) -> Weak<dyn SpendingReader> {
    let reader: Weak<Reader> = Arc::downgrade(reader);
    reader
}

#[test]
fn no_request_waits_for_a_reader_that_reads_its_files_and_it_misses_nothing_that_is_stored_meanwhile() {
    let spending = Spending::default();
    let feed = spending.feed();
    let spent = Spent {
        id: Uuid::nil(),
        number: RecordNumber::default(),
        ledger: feed.ledger(),
        place: 1,
        is_old: false,
        is_adopted: false,
        began: 0,
        spender: Spender::default(),
        picos: 1,
        unpriced: 0,
        counts: &[],
    };
    let (first, _begun, go_on) = Reader::new();
    go_on.send(()).unwrap();
    spending.subscribe(weak(&first));
    feed.opened(Path::new("nowhere"), Uuid::nil(), DatabaseId::of(&1));
    let (late, has_begun, go_on) = Reader::new();
    thread::scope(|scope| {
        scope.spawn(|| spending.subscribe(weak(&late)));
        has_begun.recv().unwrap();
        // the late one is at its files
        feed.spent(&spent);
        assert_eq!(first.told(), ["opened", "spent"]);
        let storing = scope.spawn(|| feed.stored(Some(1), &[]));
        go_on.send(()).unwrap();
        storing.join().unwrap();
    });
    assert_eq!(late.told(), ["opened", "stored"]);
    assert_eq!(first.told(), ["opened", "spent", "stored"]);
    spending.subscribe(weak(&late));
    feed.spent(&spent);
    assert_eq!(late.told(), ["opened", "stored", "spent"]);
}
