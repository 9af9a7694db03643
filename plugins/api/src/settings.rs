//! Types of settings that the gateway and its plugins share, each parsed once.

mod byte_size;
mod count;
mod period;

pub use byte_size::ByteSize;
pub use count::Count;
pub use period::Period;
