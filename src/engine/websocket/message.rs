//! A message of a client that comes in, and what it takes of the memory for bodies until it has left.

use bytes::Bytes;
use plugin_api::{Budget, Charge, Shortage};
use websocket::{Header, Opcode, Payload, write_frame};

/// The step in which held bytes are charged; as many are free, because a connection takes as much anyway.
const CHARGE_STEP: usize = 64 << 10;
/// What the frames of a message may have besides twice the bytes of the largest: a message may come in many fragments.
const MOST_FRAMING: usize = 64 << 10;

/// The message that is coming in.
#[derive(Default)]
pub struct Message {
    /// Its frames as they came.
    frames: Vec<u8>,
    /// Its payload without masks.
    payload: Vec<u8>,
    /// The last key that the client has masked with.
    mask: [u8; 4],
    charge: Option<Charge>,
}

/// Why a message cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldError {
    /// It is larger than it may be.
    TooLarge,
    /// There is no memory for it.
    NoRoom(Shortage),
}

impl Message {
    /// Another frame of it has come with this header.
    ///
    /// # Errors
    /// That its payload would be longer than `max`.
    pub fn begin_frame(&mut self, header: &Header, max: usize) -> Result<(), HoldError> {
        self.mask = header.mask.unwrap_or_default();
        let more = usize::try_from(header.length).unwrap_or(usize::MAX);
        if self.payload.len().saturating_add(more) > max { Err(HoldError::TooLarge) } else { Ok(()) }
    }

    /// Appends the header of the frame, if it has not been appended, and bytes of its payload. All of it is charged first.
    ///
    /// # Errors
    /// That it cannot be held.
    pub fn append(
        &mut self,
        header: &mut Vec<u8>,
        payload: Option<Payload<'_>>,
        budget: &'static Budget,
        max: usize,
    ) -> Result<(), HoldError> {
        let more = payload.map_or(0, |payload| payload.bytes.len());
        let frames = self.frames.len() + header.len() + more;
        if frames > max.saturating_mul(2).saturating_add(MOST_FRAMING) {
            return Err(HoldError::TooLarge);
        }
        let held = frames + self.payload.len() + more;
        let charge = self.charge.get_or_insert_with(|| budget.charge());
        charge.cover(held.saturating_sub(CHARGE_STEP), CHARGE_STEP).map_err(HoldError::NoRoom)?;
        self.frames.append(header);
        if let Some(payload) = payload {
            self.frames.extend_from_slice(payload.bytes);
            payload.append_to(&mut self.payload);
        }
        Ok(())
    }

    /// The message, which is whole.
    #[must_use]
    pub fn whole(self, budget: &'static Budget) -> WholeMessage {
        let Self { frames, payload, mask, charge } = self;
        WholeMessage { frames, payload: payload.into(), mask, charge: charge.unwrap_or_else(|| budget.charge()) }
    }
}

/// A whole message.
pub struct WholeMessage {
    /// Its frames as they came.
    frames: Vec<u8>,
    /// Its payload.
    pub payload: Bytes,
    /// A key to mask another in its place with.
    mask: [u8; 4],
    charge: Charge,
}

impl WholeMessage {
    /// The bytes that go upstream: the frames as they came, or one with another text in their place. They hold of the charge what they
    /// take themselves.
    #[must_use]
    pub fn into_frames(self, text: Option<&[u8]>) -> Bytes {
        let Self { frames, mask, mut charge, .. } = self;
        let bytes = match text {
            None => frames,
            Some(text) => {
                let mut frame = Vec::new();
                write_frame(&mut frame, Opcode::Text, Some(mask), text);
                frame
            }
        };
        charge.settle(bytes.len().saturating_sub(CHARGE_STEP));
        charge.on(bytes.into())
    }
}
