//! `listen`: an address, and how clients speak there.

/// Where a server takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    /// The address as `listeners` writes it.
    pub(super) address: String,
    /// Its port, where it is a number.
    pub(super) port: Option<u16>,
    /// Whether TLS is spoken there.
    pub(super) tls: bool,
    /// Whether each connection begins with a PROXY protocol header.
    pub(super) proxy_protocol: bool,
    /// Whether the server is the one for names that no other has.
    pub(super) is_default: bool,
    /// Whether an IPv6 address takes IPv4, too.
    pub(super) takes_ipv4: bool,
}

impl Listen {
    /// The `listen` with these arguments.
    ///
    /// # Errors
    /// Why it has no counterpart.
    pub(super) fn parse(args: &[String]) -> Result<Self, String> {
        let [address, parameters @ ..] = args else { return Err("it has no address".to_owned()) };
        let has = |name: &str| parameters.iter().any(|parameter| parameter == name);
        let (address, port) = address_of(address)?;
        if has("quic") {
            return Err("HTTP/3 is not spoken here".to_owned());
        }
        Ok(Self {
            takes_ipv4: address.starts_with("[::]") && has("ipv6only=off"),
            address,
            port,
            tls: has("ssl"),
            proxy_protocol: has("proxy_protocol"),
            is_default: has("default_server") || has("default"),
        })
    }

    /// Where a server takes requests that does not say.
    pub(super) fn usual() -> Self {
        Self {
            address: "0.0.0.0:80".to_owned(),
            port: Some(80),
            tls: false,
            proxy_protocol: false,
            is_default: false,
            takes_ipv4: false,
        }
    }
}

fn address_of(written: &str) -> Result<(String, Option<u16>), String> {
    if written.starts_with("unix:") {
        return Err("listeners have addresses, and no sockets in the file system".to_owned());
    }
    if let Some(rest) = written.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let port = port.strip_prefix(':').unwrap_or("80");
        return Ok((format!("[{host}]:{port}"), port.parse().ok()));
    }
    let is_port = |text: &str| {
        text.parse::<u16>().is_ok() || text.starts_with("${") && text.ends_with('}') && !text.contains(':')
    };
    let (host, port) = match written.rsplit_once(':') {
        None if is_port(written) => ("*", written),
        None => (written, "80"),
        Some((host, port)) => (host, port),
    };
    let host = match host {
        "*" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host if host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with("${") => host,
        other => return Err(format!("listeners have IP addresses; write that of `{other}`")),
    };
    Ok((format!("{host}:{port}"), port.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_in_many_ways() {
        for (written, expected) in [
            ("80", "0.0.0.0:80"),
            ("*:8080", "0.0.0.0:8080"),
            ("[::]:80", "[::]:80"),
            ("[::1]", "[::1]:80"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("${PORT}", "0.0.0.0:${PORT}"),
        ] {
            assert_eq!(address_of(written).unwrap().0, expected, "{written}");
        }
        for wrong in ["unix:/run/x", "example.com:80", "[::1"] {
            assert!(address_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_say_how_clients_speak() {
        let listen = |text: &str| Listen::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let tls = listen("443 ssl http2 default_server proxy_protocol").unwrap();
        assert!(tls.tls && tls.is_default && tls.proxy_protocol && tls.port == Some(443));
        assert!(listen("[::]:80 ipv6only=off").unwrap().takes_ipv4);
        assert!(listen("443 quic").is_err());
    }
}
