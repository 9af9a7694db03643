//! The request on standard input: HTTP/1.1 as text, or the JSON of a call alone, for which the rest is made up.

use http::{HeaderName, HeaderValue, Method};
use plugin_api::{ConnectionInfo, TlsInfo};

use crate::config::Config;
use crate::engine::ClientRequest;

use super::body::path_of_body;
use super::chunked::next_line;
use super::report::Asked;
use super::{ExplainSettings, chunked};

/// The host where none is named.
const HOST: &str = "localhost";
/// The port that it comes from.
const PORT: u16 = 50_000;

/// A request, and what was made up of it.
pub(super) struct Input {
    pub(super) request: ClientRequest,
    asked: Asked,
}

/// A head in parts.
struct Head {
    method: String,
    target: String,
    version: String,
    /// Lines, names and values as they came.
    headers: Vec<(String, Vec<u8>)>,
}

impl Input {
    /// Reads a request.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn read(config: &Config, settings: &ExplainSettings, bytes: &[u8]) -> Result<Self, String> {
        let mut assumed = Vec::new();
        let (mut head, body) = match bytes.trim_ascii_start() {
            [] => return Err("standard input is empty: wanted a request, or the JSON of a call".to_owned()),
            body @ [b'{', ..] => (of_body(body, settings, &mut assumed)?, body.trim_ascii_end().to_vec()),
            _ => split(bytes)?,
        };
        if let Some(method) = &settings.method {
            head.method = method.to_string();
        }
        if let Some(path) = &settings.path {
            head.target.clone_from(path);
        }
        // all of the request's own go before the first is added, as several may have one name
        settings.headers.iter().for_each(|(name, _)| head.remove(name.as_str()));
        let given = settings.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        head.headers.extend(given);
        if let Some(host) = &settings.host {
            head.remove("host");
            head.headers.insert(0, ("host".to_owned(), host.as_bytes().to_vec()));
        } else if head.get("host").is_none() && !head.target.contains("://") {
            assumed.push(format!("the host is {HOST}; `--host` says another"));
            head.headers.insert(0, ("host".to_owned(), HOST.as_bytes().to_vec()));
        }
        let (body, content) = head.frame(body)?;
        let connection = connection(config, settings, &head)?;
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let asked = Asked {
            method: head.method.clone(),
            target: head.target.clone(),
            host: text(head.get("host")).unwrap_or_default(),
            client: settings.client_ip.to_string(),
            listener: connection.listener.map(|address| address.to_string()).unwrap_or_default(),
            scheme: if connection.tls.is_some() { "https" } else { "http" }.to_owned(),
            assumed,
            secrets: head.secrets(),
        };
        Ok(Self {
            request: ClientRequest { head: head.bytes(), body: body.into(), content: content.into(), connection },
            asked,
        })
    }

    /// What is asked.
    pub(super) fn asked(&self) -> Asked {
        self.asked.clone()
    }
}

/// The head for a body alone.
fn of_body(body: &[u8], settings: &ExplainSettings, assumed: &mut Vec<String>) -> Result<Head, String> {
    let body: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| format!("standard input is no JSON object: {error}"))?;
    let target = path_of_body(&body);
    if settings.path.is_none() {
        assumed.push(format!("the path is {target}, of the API whose calls look so; `--path` says another"));
    }
    Ok(Head {
        method: Method::POST.to_string(),
        target: target.to_owned(),
        version: "HTTP/1.1".to_owned(),
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
    })
}

/// Takes the head of a request from its body.
fn split(bytes: &[u8]) -> Result<(Head, Vec<u8>), String> {
    let bytes = &*as_sent(bytes);
    let wrong =
        |what: &str| format!("standard input is no request: {what}; wanted HTTP/1.1 as text, or the JSON of a call");
    let mut lines = Vec::new();
    let mut rest = bytes.trim_ascii_start();
    while let Some((line, behind)) = next_line(rest) {
        rest = behind;
        if line.is_empty() {
            return head_of(&lines).map(|head| (head, rest.to_vec())).map_err(|what| wrong(&what));
        }
        lines.push(line);
    }
    // the end of the text is as good as an empty line
    lines.extend((!rest.is_empty()).then_some(rest));
    head_of(&lines).map(|head| (head, Vec::new())).map_err(|what| wrong(&what))
}

/// The request in what `curl -v` writes: the lines behind `> `, and what stands behind them but is not curl's own.
fn as_sent(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if !bytes.starts_with(b"> ") && !bytes.starts_with(b"* ") {
        return bytes.into();
    }
    let is_own = |line: &[u8]| [&b"* "[..], b"< ", b"<\r", b"{ [", b"} ["].iter().any(|mark| line.starts_with(mark));
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_own(line));
    let lines = lines.map(|line| line.strip_prefix(b"> ").or_else(|| line.strip_prefix(b">")).unwrap_or(line));
    lines.collect::<Vec<_>>().concat().into()
}

fn head_of(lines: &[&[u8]]) -> Result<Head, String> {
    let [line, headers @ ..] = lines else { return Err("it is empty".to_owned()) };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(format!("`{}` is no request line", line.chars().take(60).collect::<String>()));
    };
    let version = words.next().unwrap_or("HTTP/1.1");
    if !version.starts_with("HTTP/") || words.next().is_some() {
        return Err(format!("`{}` is no request line", line.chars().take(60).collect::<String>()));
    }
    // a later version has no text; its requests are explained as if they came in this one
    let version = if version == "HTTP/1.0" { version } else { "HTTP/1.1" };
    let header = |line: &&[u8]| {
        let colon = memchr::memchr(b':', line).ok_or("a line of its head has no colon")?;
        let name = std::str::from_utf8(&line[..colon]).map_err(|_| "the name of a header is no text")?;
        Ok((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
    };
    let headers = headers.iter().map(header).collect::<Result<_, &str>>()?;
    Ok(Head { method: method.to_owned(), target: target.to_owned(), version: version.to_owned(), headers })
}

impl Head {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Sees that the head says how long the body is. The body as it is sent, and its content.
    fn frame(&mut self, mut body: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), String> {
        if self.get("transfer-encoding").is_some() {
            // whatever else is wrong with it is for the gateway to say
            let content = chunked::content(&body);
            return Ok(content.map_or_else(|| (body.clone(), body), |content| (chunked::framed(&content), content)));
        }
        let length = self.get("content-length").map(|length| String::from_utf8_lossy(length).into_owned());
        match length.and_then(|length| length.parse::<usize>().ok()) {
            Some(length) if length > body.len() => {
                let lacks = length - body.len();
                return Err(format!("the request lacks {lacks} bytes of its body, whose `content-length` is {length}"));
            }
            // what an editor adds
            Some(length) => body.truncate(length),
            None if body.is_empty() || self.get("content-length").is_some() => {}
            None => self.headers.push(("content-length".to_owned(), body.len().to_string().into_bytes())),
        }
        Ok((body.clone(), body))
    }

    /// As it goes over a connection.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes
    }

    /// The credentials in it, which nothing may repeat.
    fn secrets(&self) -> Vec<String> {
        let credentials = self.headers.iter().filter(|(name, _)| plugin_api::is_credential(&name.to_ascii_lowercase()));
        let values = credentials.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let in_headers = values.flat_map(|value| [value.rsplit(' ').next().unwrap_or_default().to_owned(), value]);
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let in_query = plugin_api::query_secrets(query).map(str::to_owned);
        in_headers.chain(in_query).collect()
    }
}

/// The connection that it comes on.
fn connection(config: &Config, settings: &ExplainSettings, head: &Head) -> Result<ConnectionInfo, String> {
    let listener = match settings.listener {
        None => config.listeners.first(),
        Some(address) => Some(
            config
                .listeners
                .iter()
                .find(|listener| listener.address.value == address)
                .ok_or_else(|| format!("`--listener` is {address}, which is no listener of the file"))?,
        ),
    };
    let address = listener.map(|listener| listener.address.value);
    let host = head.get("host").map(|host| String::from_utf8_lossy(host).into_owned()).unwrap_or_default();
    let tls = listener.filter(|listener| listener.tls.is_some()).map(|_| TlsInfo {
        protocol: "TLSv1.3",
        cipher: None,
        server_name: Some(crate::routes::host_of(&host).into()),
        client: None,
    });
    let peer = Some((settings.client_ip.to_canonical(), PORT).into());
    Ok(ConnectionInfo { peer, proxied: None, local: address, listener: address, tls })
}

/// A path on the command line.
pub(super) fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.contains(char::is_whitespace) {
        true => Ok(text.to_owned()),
        false => Err("a path begins with `/`, and has no spaces".to_owned()),
    }
}

/// The value of a header on the command line.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text.trim()).map_err(|_| "it holds a character that no header may have".to_owned())
}

/// A header on the command line.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `NAME:VALUE`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is not the name of a header"))?;
    Ok((name, header_value(value)?))
}
