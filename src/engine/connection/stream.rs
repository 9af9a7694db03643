//! A client's connection as the stream that Pingora reads and writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::{Peek, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::exchange::failure::Failure;

use super::super::opening::PREFACE;
use super::super::own_answer::is_own_answer;
use super::super::timer::Timer;
use super::super::transport::Transport;
use super::Connection;
use super::incoming::BeforeRead;

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(socket) = this.socket.get() {
            let read = socket.poll_read(&mut this.stream, cx, buf);
            if read.is_pending() {
                // an error shows at the next write
                let _ = this.stream.poll_flush(cx);
            }
            return read;
        }
        if this.stream.is_left() {
            return this.poll_unwanted(cx).map(Ok);
        }
        if this.stream.is_taken() {
            // bytes that are held may be those that it was refused for
            return Poll::Pending;
        }
        loop {
            let before_read = match this.reads_freely {
                true => BeforeRead::Read(usize::MAX),
                false => this.incoming.before_read(),
            };
            let most = match before_read {
                BeforeRead::Give => {
                    let room = buf.remaining();
                    let before = buf.filled().len();
                    this.incoming.give(room, |held| buf.put_slice(held));
                    this.given += (buf.filled().len() - before) as u64;
                    return Poll::Ready(Ok(()));
                }
                BeforeRead::Read(most) => {
                    this.reads_freely = most == usize::MAX;
                    most
                }
                BeforeRead::Refuse => return this.refuse(Failure::HeadTooLarge.into()),
            };
            let before = buf.filled().len();
            let read = this.poll_bytes(cx, buf, most);
            if buf.filled().len() > before {
                this.reads_freely = false;
                match this.incoming.came(&buf.filled()[before..]) {
                    Ok(true) => {
                        this.given += (buf.filled().len() - before) as u64;
                        return read;
                    }
                    // all of them are held, and perhaps more is to come before Pingora gets any
                    Ok(false) => buf.set_filled(before),
                    Err(refused) => return this.refuse(refused),
                }
                continue;
            }
            if read.is_pending() {
                // while the connection waits, its buffered bytes must not. An error shows at the next write
                let _ = Pin::new(&mut *this).poll_flush(cx);
                if this.stream.is_left() {
                    return this.poll_unwanted(cx).map(Ok);
                }
            } else if this.incoming.ended() {
                continue;
            } else if Timer::client_left() {
                // the timer or the end of the answer wakes the task
                let _ = Pin::new(&mut *this).poll_flush(cx);
                return Poll::Pending;
            } else if let Some(unwanted) = this.with_outliving(|this, call| {
                this.let_go(call, cx);
                call.poll_unwanted(cx)
            }) {
                return unwanted.map(Ok);
            }
            return read;
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let own @ (Poll::Pending | Poll::Ready(Err(_))) = self.poll_socket(cx) {
            return self.stall.bound(cx, own.map_ok(|()| 0));
        }
        if is_own_answer(buf) && Timer::awaits_head() {
            // Pingora refuses the request by itself, in words of its own: its client gets the gateway's
            return self.refuse(Failure::InvalidHead.into());
        }
        let bufs = [io::IoSlice::new(buf)];
        let outliving = self.with_outliving(|this, call| this.poll_write_outliving(call, cx, &bufs));
        let written = outliving.unwrap_or_else(|| {
            let written = self.stream.poll_write(cx, buf);
            self.stall.bound(cx, written)
        });
        if let Poll::Ready(Ok(written)) = written {
            self.incoming.wrote(written, &bufs);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let own @ (Poll::Pending | Poll::Ready(Err(_))) = self.poll_socket(cx) {
            return self.stall.bound(cx, own.map_ok(|()| 0));
        }
        let outliving = self.with_outliving(|this, call| this.poll_write_outliving(call, cx, bufs));
        let written = outliving.unwrap_or_else(|| {
            let written = self.stream.poll_write_vectored(cx, bufs);
            self.stall.bound(cx, written)
        });
        if let Poll::Ready(Ok(written)) = written {
            self.incoming.wrote(written, bufs);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        // else a chunk's size, its data and its end would be written one by one
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(flushed) = self.with_outliving(|this, call| this.poll_flush_outliving(call, cx)) {
            return flushed;
        }
        let flushed = self.stream.poll_flush(cx);
        self.stall.bound(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.with_outliving(|this, call| call.poll_send(&mut this.stream, cx));
        let shut = match sent.unwrap_or(Poll::Ready(Ok(()))) {
            Poll::Ready(Ok(())) => self.stream.poll_shutdown(cx),
            unsent => unsent,
        };
        self.stall.bound(cx, shut)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // the client may be gone already
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

#[async_trait]
impl Peek for Connection {
    /// Waits until an HTTP/2 preface has come, or bytes that begin none. They are read again from here.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let Transport::Plain(stream) = &mut self.stream else { return Ok(false) };
        self.client_timeout.with(self.opening.read(stream.get_mut())).await?;
        let opening = self.opening.rest();
        let length = opening.len().min(buf.len());
        buf[..length].copy_from_slice(&opening[..length]);
        if opening == PREFACE {
            self.incoming.speaks_h2();
            if let Some(timer) = Timer::current() {
                timer.over(); // its streams have their own
            }
        }
        Ok(true)
    }
}
