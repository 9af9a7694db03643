//! Types of settings that the gateway and its plugins share, each parsed once.

mod byte_size;
mod count;
mod http_method;
mod one_or_many;
mod period;
mod secret_headers;
mod secret_url;

pub use byte_size::ByteSize;
pub use count::Count;
pub use http_method::HttpMethod;
pub use one_or_many::one_or_many;
pub use period::Period;
pub use secret_headers::SecretHeaders;
pub use secret_url::SecretUrl;
