//! Why a body cannot be decoded, in words for its sender.

use std::fmt;

use crate::Coding;
use crate::coding::MOST_CODINGS;

/// Why a body cannot be decoded with certainty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The name of an encoding that is not known here.
    Unknown(String),
    /// More encodings are stacked than are taken off.
    Stacked,
    /// The bytes are not of this encoding, or not all of them are there.
    Broken(Coding),
    /// The bytes can be read in two ways.
    Ambiguous(Coding),
    /// It decodes to more than this many bytes, the caller's bound.
    TooLarge(usize),
    /// It decodes to more than this many bytes, which text of its packed size never does.
    TooDense(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "its content-encoding {name} is not known here"),
            Self::Stacked => write!(f, "it is encoded more than {MOST_CODINGS} times over"),
            Self::Broken(coding) => {
                write!(f, "it is not {coding}, as its content-encoding says, or not all of it is")
            }
            Self::Ambiguous(coding) => write!(f, "its {coding} data can be read in two ways"),
            Self::TooLarge(bytes) => write!(f, "it decodes to more than {bytes} bytes"),
            Self::TooDense(bytes) => {
                write!(f, "it is packed more densely than text is: it decodes to more than {bytes} bytes")
            }
        }
    }
}

impl std::error::Error for DecodeError {}
