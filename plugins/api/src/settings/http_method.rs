//! A method of HTTP as a setting.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A method, in the letters in which clients send it.
///
/// ```
/// # use plugin_api::HttpMethod;
/// assert!(HttpMethod::try_from("POST".to_owned()).is_ok());
/// let error = HttpMethod::try_from("get".to_owned()).unwrap_err();
/// assert!(error.contains("write `GET`"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HttpMethod(Method);

impl HttpMethod {
    /// The method.
    #[must_use]
    pub fn get(&self) -> &Method {
        &self.0
    }
}

impl From<Method> for HttpMethod {
    fn from(method: Method) -> Self {
        Self(method)
    }
}

impl TryFrom<String> for HttpMethod {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match Method::from_bytes(written.as_bytes()) {
            Ok(_) if written.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Err(format!("`{written}` is no method that clients send; write `{}`", written.to_ascii_uppercase()))
            }
            Ok(method) => Ok(Self(method)),
            Err(_) => Err(format!("`{written}` is not a method; write `GET`, `POST`, …")),
        }
    }
}

impl From<HttpMethod> for String {
    fn from(method: HttpMethod) -> Self {
        method.0.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_written_as_it_is_sent() {
        let method = |written: &str| HttpMethod::try_from(written.to_owned());
        assert_eq!(String::from(method("PURGE").unwrap()), "PURGE");
        assert!(method("get").unwrap_err().contains("write `GET`"));
        assert!(method("A B").is_err() && method("").is_err());
    }
}
