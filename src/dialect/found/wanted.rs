//! What may be looked for in a JSON text, and where.

/// What may be found. Every place that is looked for has one of these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Field {
    Type,
    Id,
    Model,
    Stop,
    Status,
    Usage,
    Tier,
    Error,
    ErrorCode,
    Reason,
    BlockType,
    ServedBy,
    Content,
    Choice,
    CustomId,
    Role,
    Text,
}

impl Field {
    pub(super) const COUNT: usize = Self::Text as usize + 1;

    /// How many bytes of its value are kept; of a longer one nothing is.
    pub(super) fn bound(self) -> usize {
        match self {
            Self::Usage => 256 << 10,
            Self::Error => 64 << 10,
            _ => 4 << 10,
        }
    }
}

/// What is looked for in a value.
#[derive(Debug)]
pub(in crate::dialect) enum Wanted {
    /// The value itself.
    Value(Field),
    /// Members of an object.
    Members(Members),
    /// The same in each element of a list. Of several the last is kept.
    Each(&'static Wanted),
}

/// Keys, and what is looked for under them.
pub(in crate::dialect) type Members = &'static [(&'static str, Wanted)];
