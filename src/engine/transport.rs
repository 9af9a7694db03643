//! The stream below a client's connection: TCP with a small write buffer, or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::write_buffer::WriteBuffer;

/// The stream of a client's connection.
pub enum Transport {
    /// TCP.
    Plain(WriteBuffer<TcpStream>),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// It was refused, and is answered elsewhere. Whoever still uses it waits until it is dropped.
    Taken,
    /// Its client has left, and the socket is closed.
    Left,
}

impl Transport {
    /// Reads no more than `most` bytes.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, most: usize) -> Poll<io::Result<()>> {
        fn bounded(
            stream: &mut (impl AsyncRead + Unpin),
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
            most: usize,
        ) -> Poll<io::Result<()>> {
            if most >= buf.remaining() {
                return Pin::new(stream).poll_read(cx, buf);
            }
            Pin::new(&mut stream.take(most as u64)).poll_read(cx, buf)
        }
        match self {
            Self::Plain(stream) => bounded(stream, cx, buf, most),
            Self::Tls(stream) => bounded(stream, cx, buf, most),
            Self::Taken => Poll::Pending,
            Self::Left => Poll::Ready(Ok(())),
        }
    }

    /// Writes as many bytes as the stream accepts.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Taken => Poll::Pending,
            Self::Left => taken(),
        }
    }

    /// Writes as many bytes of several buffers as the stream accepts.
    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Taken => Poll::Pending,
            Self::Left => taken(),
        }
    }

    /// Sends the buffered bytes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Taken => Poll::Pending,
            Self::Left => Poll::Ready(Ok(())),
        }
    }

    /// Sends the buffered bytes and the end of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Taken => Poll::Pending,
            Self::Left => Poll::Ready(Ok(())),
        }
    }

    /// Bytes that were accepted and not sent; of TLS, which does not tell how many, 1 if there are any.
    pub fn unsent(&self) -> usize {
        match self {
            Self::Plain(stream) => stream.unsent(),
            Self::Tls(stream) => usize::from(stream.get_ref().1.wants_write()),
            Self::Taken | Self::Left => 0,
        }
    }

    /// Whether it was refused.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken)
    }

    /// Whether its client has left.
    pub fn is_left(&self) -> bool {
        matches!(self, Self::Left)
    }

    /// Whether all bytes that were read from the socket have been read from here.
    pub fn is_drained(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Taken | Self::Left => true,
            // it would read from the socket only if it had none
            Self::Tls(stream) => stream.get_ref().1.wants_read(),
        }
    }

    /// The socket below; `None` once it was taken away.
    pub fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream.get_ref()),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Taken | Self::Left => None,
        }
    }
}

/// The result of using a stream that was taken away.
pub fn taken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
}
