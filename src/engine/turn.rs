//! The end of a turn of a worker's loop: when every task that was ready has run, before the thread looks for new events. What is put off
//! until then is in `upstream_socket`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::upstream_socket;

thread_local! {
    /// Wakes the task that ends turns. It then runs behind the tasks that are ready now.
    static END: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Does at the end of each turn what was put off until then. A task of every worker.
pub async fn end_turns() {
    poll_fn(|cx| {
        END.with_borrow_mut(|end| match end {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        });
        upstream_socket::end_turn();
        Poll::<()>::Pending
    })
    .await;
}

/// Has this turn end with [`end_turns`]. `false` on a thread that has no such task.
pub fn end_is_awaited() -> bool {
    END.with_borrow(|end| end.as_ref().map(Waker::wake_by_ref)).is_some()
}
