//! What an import finds as it goes along, from wherever it is.

use std::cell::RefCell;

use plugin_api::shortened;

use super::super::LeftOut;
use super::super::secrets::Secrets;
use super::directive::Directive;
use super::parser::PLACEHOLDER;
use super::remarks::Remarks;
use super::secrecy::{names_a_secret, redacted, replaced};

/// How much of a directive a message shows, in bytes.
const LONGEST: usize = 100;

/// What an import finds besides the configuration.
#[derive(Debug)]
pub(super) struct Notes(RefCell<Findings>);

#[derive(Debug)]
struct Findings {
    left_out: LeftOut,
    remarks: Remarks,
    secrets: Secrets,
}

impl Notes {
    pub(super) fn new() -> Self {
        let secrets = Secrets::new("NGINX");
        Self(RefCell::new(Findings { left_out: LeftOut::default(), remarks: Remarks::default(), secrets }))
    }

    /// A directive has no counterpart, and why.
    pub(super) fn leave_out(&self, directive: &Directive, why: &str) {
        directive.all_done();
        self.name(directive, why);
    }

    /// A directive is carried over, but for a part of what it says.
    pub(super) fn name(&self, directive: &Directive, why: &str) {
        self.0
            .borrow_mut()
            .left_out
            .add(&directive.place.to_string(), &format!("left out: `{}`: {}", summary(directive), redacted(why)));
    }

    /// Something behaves otherwise than before.
    pub(super) fn remark(&self, remark: &str) {
        self.0.borrow_mut().remarks.add(remark.to_owned());
    }

    /// A secret as the YAML refers to it. The word in front of it, such as `Bearer`, is none.
    pub(super) fn secret(&self, value: &str) -> String {
        let (scheme, secret) = value.rsplit_once(' ').map_or(("", value), |(scheme, secret)| (scheme, secret));
        let reference = self.0.borrow_mut().secrets.reference(secret);
        if scheme.is_empty() { reference } else { format!("{scheme} {reference}") }
    }

    /// The same of one that is a secret as a whole.
    pub(super) fn whole_secret(&self, value: &str) -> String {
        self.0.borrow_mut().secrets.reference(value)
    }

    /// A value of the YAML, with references in the place of what may be secrets in it.
    pub(super) fn without_secrets(&self, value: &str) -> String {
        replaced(value, |secret| self.whole_secret(secret))
    }

    /// What was left out, and the remarks.
    pub(super) fn into_parts(self) -> (LeftOut, Remarks) {
        let Findings { mut left_out, remarks, secrets } = self.0.into_inner();
        secrets.say(&mut left_out);
        (left_out, remarks)
    }
}

/// Directives that say where something belongs, and hold no secret by what they are called.
const OF_PLACES: [&str; 9] =
    ["location", "server", "server_name", "listen", "upstream", "include", "limit_except", "allow", "deny"];

/// Directives whose names sound like secrets, and that hold none by that.
const SOUND_SECRET: [&str; 10] = [
    "proxy_pass",
    "fastcgi_pass",
    "grpc_pass",
    "memcached_pass",
    "scgi_pass",
    "uwsgi_pass",
    "proxy_pass_header",
    "auth_basic",
    "auth_basic_user_file",
    "auth_request",
];

/// Whether a directive of this name holds a secret, whatever that looks like.
fn holds_a_secret(name: &str) -> bool {
    names_a_secret(name) && !SOUND_SECRET.contains(&name) || name == "secure_link_md5"
}

/// A directive in a message, without what may be a secret.
pub(super) fn summary(directive: &Directive) -> String {
    let name = directive.name.as_str();
    let text = match name {
        PLACEHOLDER => directive.first().to_owned(),
        // what is compared with, or set, may be one
        "if" | "set" => {
            let subject = directive.first().trim_start_matches('(').trim_end_matches(')');
            let rest = directive.args.len() > 1;
            format!("{name} {}{subject}{}", if name == "if" { "(" } else { "" }, if rest { " …" } else { "" })
                + if name == "if" { ")" } else { "" }
        }
        _ => directive.summary(),
    };
    let in_words =
        names_a_secret(&directive.args.join(" ")) && !OF_PLACES.contains(&name) && name != "if" && name != "set";
    if in_words || holds_a_secret(name) {
        return name.to_owned();
    }
    shortened(&redacted(&text), LONGEST).to_string()
}
