//! The comments above a configuration: what it was made of, and what it lacks.

/// They, as lines of YAML. `from` is the gateway whose files these are.
pub(super) fn with(from: &str, files: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = format!("# Made of {} by `tollgate import {from}`.\n", on_one_line(files));
    for line in lines {
        text.push_str(&format!("# {}\n", on_one_line(line.as_ref())));
    }
    text.push('\n');
    text
}

fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
