//! The fault that a request asks for, as its header writes it.

use std::str::FromStr;
use std::time::Duration;

use plugin_api::{Refusal, RefusalKind};

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A refusal of this kind, with the time after which another attempt is worth it.
    Refuse(RefusalKind, Option<Duration>),
    /// A panic in this hook.
    Panic(Hook),
}

/// The hooks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `on_request`
    Request,
    /// `on_forward`
    Forward,
    /// `on_call`
    Call,
    /// `transforms`
    Transforms,
    /// `on_response`
    Response,
    /// `on_part`
    Part,
    /// `on_chunk`
    Chunk,
    /// `on_batch_result`
    BatchResult,
    /// `before_last_byte`
    BeforeLastByte,
    /// `on_complete`
    Complete,
}

/// A text that names no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFault;

impl Fault {
    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let Self::Refuse(kind, wait) = self else { return None };
        let refusal = Refusal::new(*kind, "injected", "This request asked to be refused");
        Some(match wait {
            Some(wait) => refusal.retry_after(*wait),
            None => refusal,
        })
    }
}

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next().ok_or(NoFault)?, words.next()) {
            (Some("panic"), hook, None) => hook.parse().map(Self::Panic),
            (Some("refuse"), status, wait) => {
                let has_status = |kind: &RefusalKind| Refusal::new(*kind, "injected", "").status().as_str() == status;
                let kind = RefusalKind::ALL.into_iter().find(has_status).ok_or(NoFault)?;
                let wait = wait.map(|seconds| seconds.parse().map(Duration::from_secs)).transpose();
                Ok(Self::Refuse(kind, wait.map_err(|_| NoFault)?))
            }
            _ => Err(NoFault),
        }
    }
}

impl FromStr for Hook {
    type Err = NoFault;

    fn from_str(name: &str) -> Result<Self, NoFault> {
        match name {
            "on_request" => Ok(Self::Request),
            "on_forward" => Ok(Self::Forward),
            "on_call" => Ok(Self::Call),
            "transforms" => Ok(Self::Transforms),
            "on_response" => Ok(Self::Response),
            "on_part" => Ok(Self::Part),
            "on_chunk" => Ok(Self::Chunk),
            "on_batch_result" => Ok(Self::BatchResult),
            "before_last_byte" => Ok(Self::BeforeLastByte),
            "on_complete" => Ok(Self::Complete),
            _ => Err(NoFault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_it_is_written() {
        for (text, fault) in [
            ("refuse 401", Ok(Fault::Refuse(RefusalKind::Unauthenticated, None))),
            ("refuse 429  30", Ok(Fault::Refuse(RefusalKind::TooManyRequests, Some(Duration::from_secs(30))))),
            ("panic on_part", Ok(Fault::Panic(Hook::Part))),
            ("refuse 418", Err(NoFault)),
            ("refuse 429 soon", Err(NoFault)),
            ("panic at_night", Err(NoFault)),
            ("panic", Err(NoFault)),
            ("", Err(NoFault)),
        ] {
            assert_eq!(text.parse(), fault, "{text}");
        }
    }
}
