//! The channel between a process and the one that takes over from it: short messages, some with a socket. Decides nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// The longest message, in bytes. What is longer is cut.
const LONGEST: usize = 4096;

/// One end of the channel.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub text: String,
    pub socket: Option<OwnedFd>,
}

impl Channel {
    /// A channel, and its other end for another process.
    ///
    /// # Errors
    /// The system's.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(own), other))
    }

    /// The channel behind an end that another process made.
    pub fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Sends a message that is not empty.
    ///
    /// # Errors
    /// The other process is gone.
    pub fn send(&self, text: &str, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let text = &text.as_bytes()[..text.len().min(LONGEST)];
        let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(socket) = &socket
            && !control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(socket)))
        {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        sendmsg(&self.0, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the other process is gone. [`TimedOut`](io::ErrorKind::TimedOut): the time is up.
    pub fn receive(&self, limit: Duration) -> io::Result<Message> {
        self.wait(limit)?;
        let mut text = [0; LONGEST];
        let mut space = [0; rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        Ok(Message { text: String::from_utf8_lossy(&text[..received.bytes]).into_owned(), socket })
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], left) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_socket_goes_with_its_message_and_messages_keep_their_bounds() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::of(other);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        one.send("first", Some(socket.as_fd())).unwrap();
        one.send("second", None).unwrap();
        let first = other.receive(SOON).unwrap();
        let received = TcpListener::from(first.socket.unwrap());
        assert_eq!((first.text.as_str(), received.local_addr().unwrap()), ("first", socket.local_addr().unwrap()));
        let second = other.receive(SOON).unwrap();
        assert!(second.text == "second" && second.socket.is_none());
    }

    #[test]
    fn an_end_that_is_gone_is_told_from_one_that_says_nothing() {
        let (one, other) = Channel::pair().unwrap();
        assert_eq!(one.receive(Duration::from_millis(1)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(other);
        assert_eq!(one.receive(SOON).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(one.send("to nobody", None).is_err());
    }
}
