//! What nginx answers by itself: `return`, and redirects of `rewrite`.

use super::directive::Directive;
use super::interpreter::Run;
use super::notes::summary;
use super::route::{Action, Target};
use super::tree::Halt;
use super::{headers, location_log};

/// What `return` comes to.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn of_return(run: &Run<'_, '_>, directive: &Directive) -> Result<Action, Halt> {
    let (status, text) = match &*directive.args {
        [address] if address.parse::<u16>().is_err() => (302, Some(address)),
        [status] => (status.parse().unwrap_or(0), None),
        [status, text] => (status.parse().unwrap_or(0), Some(text)),
        _ => (0, None),
    };
    match (status, text) {
        (301 | 302 | 303 | 307 | 308, Some(address)) => redirect(run, address, status),
        (444, _) => {
            run.host.world.notes.leave_out(directive, "a connection is not closed without an answer; it is a 404 here");
            finished(run, Target::answer(404))
        }
        (200..=599, text) => {
            let body = text.map(|text| run.template(text)).transpose()?.filter(|body| !body.is_empty());
            let body = body.map(|body| run.host.world.notes.without_secrets(&body));
            let content_type = body.as_ref().and_then(|_| media_type(run));
            if body.is_none() && status >= 300 {
                run.host.world.notes.remark("Pages that nginx makes for errors and redirects are those of Tollgate.");
            }
            finished(run, Target::Answer { status, body, content_type })
        }
        _ => Err(Halt::Never(format!("`{}` has no status that can be answered", summary(directive)))),
    }
}

/// A redirect by `rewrite`, which keeps the query unless its replacement ends with a question mark.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn of_rewrite(run: &Run<'_, '_>, replacement: &str, status: u16) -> Result<Action, Halt> {
    let location = match replacement.strip_suffix('?') {
        Some(bare) => bare.to_owned(),
        None if replacement.contains('?') => format!("{replacement}&$args"),
        None => format!("{replacement}$is_args$args"),
    };
    redirect(run, &location, status)
}

/// The redirect to a path with a slash behind it.
///
/// # Errors
/// What must be asked first.
pub(super) fn to_slash(run: &Run<'_, '_>) -> Result<Action, Halt> {
    let location = format!("{}$uri/$is_args$args", run.host.own_address(&run.level));
    finished(run, Target::Redirect { location, status: 301 })
}

fn redirect(run: &Run<'_, '_>, address: &str, status: u16) -> Result<Action, Halt> {
    let mut location = run.host.world.notes.without_secrets(&run.template(address)?);
    if location.starts_with('/') {
        location.insert_str(0, run.host.own_address(&run.level));
    }
    run.host.world.notes.remark("Pages that nginx makes for errors and redirects are those of Tollgate.");
    finished(run, Target::Redirect { location, status })
}

/// The media type of a text.
fn media_type(run: &Run<'_, '_>) -> Option<String> {
    let added =
        run.level.all("add_header").into_iter().find(|header| header.first().eq_ignore_ascii_case("content-type"));
    if let Some(added) = added {
        run.host
            .world
            .notes
            .remark("Where `add_header` gives a `return` a second Content-Type, it is the only one here.");
        return added.args.get(1).cloned();
    }
    run.level.word("default_type").filter(|kind| *kind != "text/plain").map(str::to_owned)
}

/// The action, with what the response gets.
///
/// # Errors
/// What must be asked first.
fn finished(run: &Run<'_, '_>, target: Target) -> Result<Action, Halt> {
    // nginx answers before it asks who may call
    run.level.innermost_with(&["allow", "deny", "satisfy", "auth_basic", "auth_basic_user_file"]);
    let mut action = run.action(target);
    action.plug("headers", headers::of_reply(run)?);
    action.is_logged_not = location_log::is_off(&run.level);
    Ok(action)
}
