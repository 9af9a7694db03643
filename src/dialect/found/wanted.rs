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
    /// Usage in the object that Groq adds to a chunk.
    GroqUsage,
    /// Usage in a choice.
    ChoiceUsage,
    Tier,
    Error,
    Errors,
    ErrorCode,
    ErrorMessage,
    ErrorDetail,
    /// The name of a member that is an exception.
    Exception,
    /// AWS' name of an exception, as a value.
    ExceptionType,
    /// `MiniMax`'s code, 0 where all went well.
    BaseStatus,
    Object,
    Reason,
    BlockType,
    ServedBy,
    Content,
    Choice,
    /// The number of tokens that a count says, or those of the input.
    Count,
    /// The tokens of the output.
    OutputCount,
    /// State on the server that outlives the answer.
    Container,
    /// A list that is the answer.
    List,
    CustomId,
    Role,
    Text,
}

impl Field {
    pub(super) const COUNT: usize = Self::Text as usize + 1;

    /// How many bytes of its value are kept; of a longer one nothing is.
    pub(super) fn bound(self) -> usize {
        match self {
            Self::Usage | Self::GroqUsage | Self::ChoiceUsage => 256 << 10,
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
    /// The key in its place, whatever the value.
    Key(Field),
    /// Members of an object.
    Members(Members),
    /// The same in each element of a list. Of several the last is kept.
    Each(&'static Wanted),
    /// Nothing by its own name: further members of the object that it stands in, in one list with its other members.
    Also(Members),
}

/// Keys, and what is looked for under them. A key that begins with `*` is all keys that end like the rest of it.
pub(in crate::dialect) type Members = &'static [(&'static str, Wanted)];

/// What is looked for under a key.
pub(super) fn named(members: Members, key: &[u8]) -> Option<&'static Wanted> {
    members.iter().find_map(|(name, wanted)| match wanted {
        Wanted::Also(members) => named(members, key),
        _ => fits(name.as_bytes(), key).then_some(wanted),
    })
}

fn fits(name: &[u8], key: &[u8]) -> bool {
    name == key || name.first() == Some(&b'*') && key.ends_with(&name[1..])
}
