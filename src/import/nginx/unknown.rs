//! What an import cannot know: files that are not there, variables of a template in the place of directives, and directives of modules that
//! decide who gets in. Where one of them holds, nobody is let in.

use super::directive::Directive;
use super::level::Level;
use super::parser::PLACEHOLDER;
use super::tree::Halt;

/// Words in the names of directives by which modules that are not here keep requests out.
const KEEPING_OUT: [&str; 26] = [
    "access_by",
    "acl",
    "allow_",
    "app_protect",
    "auth",
    "captcha",
    "deny_",
    "deniedurl",
    "forbid",
    "gss",
    "js_access",
    "jwt",
    "keycloak",
    "krb",
    "ldap",
    "modsecurity",
    "naxsi",
    "oidc",
    "pam_",
    "precontent_by",
    "restrict",
    "rewrite_by",
    "saml",
    "secrules",
    "testcookie",
    "waf",
];
/// Files of which everybody has the same.
const WELL_KNOWN: [&str; 6] =
    ["mime.types", "options-ssl-nginx.conf", "fastcgi_params", "fastcgi.conf", "scgi_params", "uwsgi_params"];
/// Directives with such a name that decide nothing, or that are carried over.
const HARMLESS_NAMES: [&str; 4] = ["auth_basic", "auth_basic_user_file", "auth_delay", "auth_request_set"];

/// Directives that change nothing about who is let in, and where requests go. `set` does what its variable does.
const HARMLESS: [&str; 22] = [
    "access_log",
    "add_header",
    "add_trailer",
    "brotli",
    "charset",
    "default_type",
    "error_log",
    "etag",
    "expires",
    "gzip",
    "gzip_types",
    "limit_rate",
    "limit_rate_after",
    "log_not_found",
    "log_subrequest",
    "proxy_buffering",
    "proxy_cache_bypass",
    "proxy_hide_header",
    "proxy_no_cache",
    "proxy_read_timeout",
    "set",
    "sub_filter",
];

/// The directive of a module that decides who gets in at a place.
pub(super) fn guard<'t>(level: &Level<'t>) -> Option<&'t Directive> {
    let is_guard = |name: &str| {
        let name = name.to_ascii_lowercase();
        !HARMLESS_NAMES.contains(&name.as_str()) && KEEPING_OUT.iter().any(|word| name.contains(word))
    };
    let all = level.all_by(is_guard).into_iter();
    all.filter_map(|directive| level.last(&directive.name)).find(|directive| directive.first() != "off")
}

/// Whether a directive in the block of an `if` may be left out with it.
pub(super) fn is_harmless(directive: &Directive) -> bool {
    let changes_query = directive.name == "set" && matches!(directive.first(), "$args" | "$query_string");
    HARMLESS.contains(&directive.name.as_str()) && !changes_query
}

/// Halts at what may be any directives.
///
/// # Errors
/// That nobody knows who gets in.
pub(super) fn here(directive: &Directive) -> Result<(), Halt> {
    match directive.name.as_str() {
        "include" if !is_well_known(directive) => {
            Err(Halt::Never(format!("who may call may be decided by `{}`, which is not there", directive.first())))
        }
        PLACEHOLDER => Err(Halt::Never(format!(
            "who may call may be decided by what `{}` holds; import the finished file",
            directive.first()
        ))),
        _ => Ok(()),
    }
}

/// Halts where there are such directives in one of the blocks around a place, or where a script runs before all others.
///
/// # Errors
/// That nobody knows who gets in.
pub(super) fn any_around(level: &Level<'_>) -> Result<(), Halt> {
    level.each().try_for_each(here)?;
    match level.all_by(|name| name.starts_with("server_rewrite_by")).first() {
        Some(script) => Err(Halt::Never(format!("who may call is decided by `{}`", script.name))),
        None => Ok(()),
    }
}

/// Whether an `include` is a file that everybody has, and that says nothing of who gets in: media types, parameters of other protocols, and
/// certbot's settings of TLS.
pub(super) fn is_well_known(include: &Directive) -> bool {
    let name = include.first().rsplit('/').next().unwrap_or_default();
    WELL_KNOWN.contains(&name)
}
