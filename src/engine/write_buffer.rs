//! A buffer that joins small writes, as tokio's `BufWriter` does. It holds memory only while bytes wait in it, and sends them together with
//! the large write behind them.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that writes leave waiting. Head and first piece of an answer leave in one packet if they fit.
const SIZE: usize = 4 * 1024;

thread_local! {
    /// Memory for bytes that wait, which the buffers of a thread use in turn: an event waits for an instant, and this stays in the
    /// processor's cache.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream, and bytes that are to be written to it.
pub struct WriteBuffer<S> {
    stream: S,
    waiting: Vec<u8>,
    /// How many of them have been written.
    sent: usize,
}

impl<S> WriteBuffer<S> {
    /// A buffer in front of this stream. Nothing waits in it.
    pub fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), sent: 0 }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream. Bytes that wait are lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Has these bytes wait, however many there are.
    pub fn add(&mut self, parts: &[&[u8]]) {
        self.make_room(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.waiting.extend_from_slice(part));
    }

    /// How many bytes wait.
    pub fn unsent(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// The stream, to read from. What is written to it overtakes the bytes that wait.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncWrite + Unpin> WriteBuffer<S> {
    /// Writes as many bytes as the stream accepts behind those that wait, and lets none wait.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while !self.waiting.is_empty() {
            let waiting = IoSlice::new(&self.waiting[self.sent..]);
            let all: SmallVec<[IoSlice<'_>; 4]> = iter::once(waiting).chain(bufs.iter().copied()).collect();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all))?;
            drop(all);
            let beyond = self.wrote(written)?;
            if beyond > 0 {
                return Poll::Ready(Ok(beyond));
            }
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteBuffer<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBuffer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Takes all bytes if there is room, else as many as the stream accepts behind those that wait.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if this.waiting.len() + total <= SIZE {
            if total > 0 {
                this.make_room(total);
            }
            bufs.iter().for_each(|buf| this.waiting.extend_from_slice(buf));
            return Poll::Ready(Ok(total));
        }
        this.poll_write_through(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.waiting.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.waiting[this.sent..]))?;
            this.wrote(written)?;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> WriteBuffer<S> {
    /// Makes room for so many bytes more.
    fn make_room(&mut self, bytes: usize) {
        if self.waiting.capacity() == 0 {
            self.waiting = SPARE.take();
            self.waiting.reserve_exact(bytes.max(SIZE));
        } else {
            self.waiting.reserve_exact(bytes);
        }
    }

    /// So many bytes were written: those that wait first. Returns how many of them did not wait.
    fn wrote(&mut self, written: usize) -> io::Result<usize> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let left = self.unsent();
        if written < left {
            self.sent += written;
            return Ok(0);
        }
        let mut spare = std::mem::take(&mut self.waiting);
        // a larger one would be held by whatever stream waits next
        if spare.capacity() == SIZE {
            spare.clear();
            SPARE.set(spare);
        }
        self.sent = 0;
        Ok(written - left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A stream that accepts so many bytes at each write, and none at every write for which that is zero.
    #[derive(Default)]
    struct Narrow {
        widths: Vec<usize>,
        writes: Vec<Vec<u8>>,
        calls: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let width = self.widths.get(self.calls).copied().unwrap_or(usize::MAX);
            self.calls += 1;
            if width == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(width).collect();
            let count = all.len();
            self.writes.push(all);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn write_all(buffer: &mut WriteBuffer<Narrow>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (one, other) = bytes.split_at(bytes.len() / 3);
            let bufs = [IoSlice::new(one), IoSlice::new(other)];
            let written = buffer.write_vectored(&bufs).await.unwrap();
            bytes = &bytes[written..];
        }
    }

    #[tokio::test]
    async fn small_writes_leave_as_one() {
        let mut buffer = WriteBuffer::new(Narrow::default());
        write_all(&mut buffer, b"head ").await;
        write_all(&mut buffer, b"event").await;
        assert!(buffer.stream.writes.is_empty());
        buffer.flush().await.unwrap();
        assert_eq!(buffer.stream.writes, [b"head event"]);
        assert_eq!(buffer.waiting.capacity(), 0);
    }

    #[tokio::test]
    async fn what_waits_leaves_together_with_a_large_write_behind_it() {
        let mut buffer = WriteBuffer::new(Narrow::default());
        write_all(&mut buffer, b"head").await;
        write_all(&mut buffer, &[b'x'; SIZE]).await;
        assert_eq!(buffer.stream.writes.iter().map(Vec::len).collect::<Vec<_>>(), [4 + SIZE]);
    }

    #[tokio::test]
    async fn buffers_in_turn_use_the_same_memory_and_a_large_one_is_given_up() {
        let memory = async |bytes: &[u8]| {
            let mut buffer = WriteBuffer::new(Narrow::default());
            buffer.add(&[bytes]);
            let memory = (buffer.waiting.as_ptr(), buffer.waiting.capacity());
            buffer.flush().await.unwrap();
            assert_eq!(buffer.stream.writes, [bytes]);
            memory
        };
        let mut stalled = WriteBuffer::new(Narrow::default());
        write_all(&mut stalled, b"waits").await;
        let first = memory(b"head").await;
        assert_eq!(memory(b"another").await, first);
        assert_eq!(memory(&[b'x'; 2 * SIZE]).await.1, 2 * SIZE);
        assert_eq!(memory(b"third").await.1, SIZE);
        stalled.flush().await.unwrap();
        assert_eq!(stalled.stream.writes, [b"waits"]);
    }

    #[tokio::test]
    async fn an_end_is_sent_behind_what_waits() {
        let mut buffer = WriteBuffer::new(Narrow { widths: vec![0, 2], ..Narrow::default() });
        write_all(&mut buffer, b"last").await;
        buffer.shutdown().await.unwrap();
        assert_eq!(buffer.stream.writes.concat(), b"last");
    }

    proptest! {
        #[test]
        fn every_byte_is_sent_once_and_in_order(
            pieces in vec(vec(any::<u8>(), 0..3 * SIZE), 0..12),
            widths in vec(0..2 * SIZE, 0..40),
            flushes in vec(any::<bool>(), 12),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut buffer = WriteBuffer::new(Narrow { widths, ..Narrow::default() });
                for (piece, flush) in pieces.iter().zip(flushes) {
                    write_all(&mut buffer, piece).await;
                    if flush {
                        buffer.flush().await.unwrap();
                    }
                }
                buffer.flush().await.unwrap();
                assert_eq!(buffer.stream.writes.concat(), pieces.concat());
            });
        }
    }
}
