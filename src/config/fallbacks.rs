//! Checks that fallbacks name known upstreams and form no circle.

use located_yaml::{Node, Report, list, unknown};

/// Reports every fallback to an unknown upstream, and every circle once.
pub(super) fn check(report: &mut Report<'_>) {
    let upstreams = report.root().get("upstreams").map_or(&[][..], Node::entries);
    let names: Vec<&str> = upstreams.iter().map(|entry| entry.key.text.as_str()).collect();
    // by the tree's names: an upstream with errors of its own is known nevertheless
    let mut next: Vec<Option<usize>> = vec![None; names.len()];
    for (at, entry) in upstreams.iter().enumerate() {
        let Some(node) = entry.value.get("fallback").and_then(named) else { continue };
        let Some(scalar) = node.scalar() else { continue };
        next[at] = names.iter().position(|name| *name == scalar.text);
        if next[at].is_none() && !report.is_wrong(node) {
            let written = scalar.written.as_deref().unwrap_or(&scalar.text);
            report.add_at(node, unknown("upstream", &scalar.text, written, &names));
        }
    }
    for (start, entry) in upstreams.iter().enumerate() {
        let circle = circle(start, &next);
        // once, at the first of it in the file
        if circle.iter().min() == Some(&start)
            && let Some(node) = entry.value.get("fallback").and_then(named)
        {
            let message = match circle.as_slice() {
                [_] => "an upstream cannot be its own fallback".to_owned(),
                circle => {
                    let names: Vec<&str> = circle.iter().map(|at| names[*at]).collect();
                    format!("the fallbacks of {} lead in a circle", list(&names))
                }
            };
            report.add_at(node, message);
        }
    }
}

/// The value that names the upstream, in either way of writing.
fn named(fallback: &Node) -> Option<&Node> {
    if fallback.scalar().is_some() {
        Some(fallback).filter(|node| !node.is_nothing())
    } else {
        fallback.get("upstream")
    }
}

/// The upstreams on the way back to this one; empty if there is no way back.
fn circle(start: usize, next: &[Option<usize>]) -> Vec<usize> {
    let mut way = vec![start];
    let mut at = start;
    while let Some(to) = next[at] {
        if to == start {
            return way;
        }
        if way.contains(&to) {
            break;
        }
        way.push(to);
        at = to;
    }
    Vec::new()
}
