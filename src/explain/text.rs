//! A report as people read it.

use std::fmt;

use super::report::{CallReport, Outcome, PluginReport, Report, RouteAnswer, SentReport};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = &self.request;
        writeln!(f, "request   {} {}", asked.method, asked.target)?;
        let (host, client, listener) = (&asked.host, &asked.client, &asked.listener);
        writeln!(f, "          to {host} ({}), from {client}, on {listener}", asked.scheme)?;
        for assumed in &asked.assumed {
            writeln!(f, "          assumed: {assumed}")?;
        }
        if let Some(call) = &self.call {
            writeln!(f, "call      {call}")?;
        }
        self.routes.iter().try_for_each(|route| writeln!(f, "{route}"))?;
        for (place, plugin) in self.plugins.iter().enumerate() {
            write!(f, "{}{plugin}", if place == 0 { "plugins   " } else { "          " })?;
        }
        writeln!(f, "outcome   {}", self.outcome)?;
        for (place, what) in self.depends_on.iter().enumerate() {
            writeln!(f, "{}{what}", if place == 0 { "depends on  " } else { "            " })?;
        }
        Ok(())
    }
}

impl fmt::Display for RouteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at, mismatch } = self;
        match mismatch {
            Some(why) => write!(f, "          not `{name}` ({at}): {why}"),
            None => write!(f, "route     `{name}` ({at})"),
        }
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.endpoint, self.dialect)?;
        if let Some(why) = &self.unread {
            return write!(f, ", and its body is not read: {why}");
        }
        if self.calls != 1 {
            return write!(f, ", a batch of {}", self.calls);
        }
        write!(f, " for {}", self.model.as_deref().unwrap_or("no model"))?;
        write!(f, ": about {} tokens of input", self.input_tokens)?;
        match self.max_tokens {
            Some(most) => write!(f, ", at most {most} of output")?,
            None => write!(f, ", no limit of output")?,
        }
        write!(f, ", {} of {} messages are the user's turns", self.turns, self.messages)?;
        for (what, is_there) in [("tools", self.tools), ("thinking", self.thinking), ("a stream", self.stream)] {
            if is_there {
                write!(f, ", {what}")?;
            }
        }
        for (what, count) in [("images", self.images), ("documents", self.documents)] {
            if count > 0 {
                write!(f, ", {what}: {count}")?;
            }
        }
        for (what, name) in [("session", &self.session), ("user", &self.user)] {
            if let Some(name) = name {
                write!(f, ", {what} {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for PluginReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.at)?;
        if !self.reached {
            return writeln!(f, ": the request does not come to it");
        }
        let is_quiet = self.says.is_empty() && self.changes.is_empty() && self.ends.is_none();
        match (self.known, is_quiet) {
            (false, _) => writeln!(f, ": it does not say what it would do")?,
            (true, true) => writeln!(f, ": passes")?,
            (true, false) => writeln!(f)?,
        }
        self.says.iter().chain(&self.changes).try_for_each(|line| writeln!(f, "            - {line}"))?;
        self.ends.iter().try_for_each(|line| writeln!(f, "            - {line}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { reason } => write!(f, "it fails: {reason}"),
            Self::Answered { status, plugin, reason, body } => {
                write!(f, "{status}, answered by {}", plugin.as_deref().unwrap_or("the gateway"))?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                body.iter()
                    .try_for_each(|body| write!(f, "\n          {}", body.trim_end().replace('\n', "\n          ")))
            }
            Self::Sent(sent) => sent.fmt(f),
        }
    }
}

impl fmt::Display for SentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goes to the upstream `{}` ({})", self.upstream, self.at)?;
        if let Some(model) = &self.model {
            write!(f, " for {model}")?;
        }
        if let Some(at) = &self.models_entry {
            write!(f, ", by the entry of `models` at {at}")?;
        }
        if self.websocket {
            write!(f, ", to become a WebSocket")?;
        }
        write!(f, "\nservers   by {}", self.balance)?;
        if let Some(server) = &self.hashed_to {
            write!(f, ": {server}, while nothing is in flight")?;
        }
        for server in &self.servers {
            write!(f, "\n          {}, weight {}", server.address, server.weight)?;
            for (word, holds) in [("backup", server.backup), ("down", server.down)] {
                if holds {
                    write!(f, ", {word}")?;
                }
            }
            if let Some(host) = &server.host {
                write!(f, ", gets the host {host}")?;
            }
        }
        if !self.fallbacks.is_empty() {
            write!(f, "\n          then {}", self.fallbacks.join(", then "))?;
        }
        write!(f, "\nsent      {} {}", self.method, self.target)?;
        for (name, value) in &self.headers_set {
            write!(f, "\n          + {name}: {value}")?;
        }
        for name in &self.headers_removed {
            write!(f, "\n          - {name}")?;
        }
        match self.body_bytes {
            Some(bytes) => write!(f, "\n          body of {bytes} bytes"),
            None => write!(f, "\n          its body passes unread"),
        }
    }
}
