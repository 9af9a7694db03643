//! The body of a request on its way upstream: which side the attempt waits for. Keeps no time.

use std::time::Duration;

/// The largest last piece, in bytes, that an idle connection accepts at once.
const FITS: usize = 16 * 1024;
/// The shortest time between two ticks that find nothing due.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// The limits of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// From the end of the request to the head of the response.
    pub first_byte: Duration,
    /// How long the client may pause within its request.
    pub client: Duration,
    /// How long the server may accept none of it.
    pub server: Duration,
}

/// The body of a request on its way upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upload {
    /// How long the client may pause.
    pub client: Duration,
    /// How long the server may accept nothing.
    pub server: Duration,
    /// The shortest limit of the attempt.
    pub shortest: Duration,
    /// Pieces that the connection to the server has not taken yet.
    untaken: u32,
    /// Whether the last piece has come from the client.
    complete: bool,
}

/// The side that an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The client, for more of its request.
    Client,
    /// The server, to accept more of the request.
    Server,
    /// The server, which has all of the request, for its response.
    Response,
}

impl Upload {
    /// The body of an attempt with these limits, of which nothing has been sent.
    pub fn new(AttemptLimits { first_byte, client, server }: AttemptLimits) -> Self {
        let shortest = first_byte.min(client).min(server).max(SHORTEST);
        Self { client, server, shortest, untaken: 0, complete: false }
    }

    /// The same while the response passes already, which may pause for so long.
    pub fn beside_response(self, idle: Duration) -> Self {
        Self { shortest: self.shortest.min(idle).max(SHORTEST), ..self }
    }

    /// A piece goes upstream. `true` if the attempt waits until the connection has taken it.
    pub fn piece(&mut self, size: usize, is_last: bool) -> bool {
        self.complete |= is_last;
        let fits = is_last && self.untaken == 0 && size <= FITS;
        let waits = size > 0 && !fits;
        self.untaken += u32::from(waits);
        waits
    }

    /// The connection has taken a piece.
    pub fn taken(&mut self) {
        self.untaken = self.untaken.saturating_sub(1);
    }

    /// The side that the attempt waits for.
    pub fn awaited(self) -> Awaited {
        match self {
            Self { untaken: 1.., .. } => Awaited::Server,
            Self { complete: false, .. } => Awaited::Client,
            Self { complete: true, .. } => Awaited::Response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_awaited_while_it_has_not_taken_what_was_sent() {
        let second = Duration::from_secs(1);
        let mut upload = Upload::new(AttemptLimits { first_byte: 3 * second, client: second, server: 2 * second });
        assert_eq!((upload.awaited(), upload.shortest), (Awaited::Client, second));
        assert!(upload.piece(1, false));
        assert_eq!(upload.awaited(), Awaited::Server);
        assert!(upload.piece(1, true), "behind a piece that waits");
        upload.taken();
        assert_eq!(upload.awaited(), Awaited::Server);
        upload.taken();
        assert_eq!(upload.awaited(), Awaited::Response);
    }

    #[test]
    fn a_small_last_piece_and_an_empty_one_are_not_waited_for() {
        let second = Duration::from_secs(1);
        let limits = AttemptLimits { first_byte: second, client: second, server: second };
        for (size, is_last, waits) in [(FITS, true, false), (FITS + 1, true, true), (1, false, true), (0, false, false)]
        {
            assert_eq!(Upload::new(limits).piece(size, is_last), waits, "{size}");
        }
    }
}
