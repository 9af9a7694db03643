//! The values that are looked for in answers and messages: a slot for each, whatever object it stands in.

/// A value that may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
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
    /// `MiniMax`'s code, 0 on success.
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
    /// A piece of a tool's input, as text.
    PartialJson,
    BlockId,
    BlockName,
    BlockInput,
}

impl Slot {
    const COUNT: usize = Self::BlockInput as usize + 1;
}

impl json_extract::Slot for Slot {
    fn index(self) -> usize {
        self as usize
    }

    fn bound(self) -> usize {
        match self {
            Self::Usage | Self::GroqUsage | Self::ChoiceUsage | Self::Content | Self::BlockInput => 256 << 10,
            Self::Error | Self::Text | Self::PartialJson => 64 << 10,
            _ => 4 << 10,
        }
    }

    fn counts_words(self) -> bool {
        self == Self::Stop
    }
}

/// A reader of one object after another.
pub(crate) type Extractor = json_extract::JsonExtractor<Slot, { Slot::COUNT }>;
/// What to look for in a value.
pub(crate) type Pattern = json_extract::Pattern<Slot>;
/// What to look for in an object.
pub(crate) type Members = json_extract::Members<Slot>;
