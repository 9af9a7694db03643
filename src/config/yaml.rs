//! YAML text → tree of nodes. What YAML allows and a configuration has no use for is refused here, with its place.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::environment;
use super::node::{Entry, Id, Key, Kind, Mark, Node, Problem, Scalar};
use crate::located::Location;

/// How deep values may be nested.
const DEEPEST: usize = 64;
/// How many values a file may hold, those that aliases repeat included.
const MOST_NODES: usize = 50_000;

/// A file that is YAML, and what of it a configuration has no use for.
#[derive(Debug)]
pub(super) struct Parsed {
    pub root: Node,
    pub problems: Vec<Problem>,
    /// Values that are not known, because of a problem with them.
    pub unknown: Vec<Id>,
}

/// Reads a text.
///
/// # Errors
/// Where it is no YAML, or more of it than anyone writes.
pub(super) fn read(text: &str) -> Result<Parsed, (Mark, String)> {
    let hidden = environment::hide(text);
    let options = granit_parser::options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(&hidden, options),
        anchors: HashMap::new(),
        nodes: 0,
        problems: Vec::new(),
        unknown: Vec::new(),
    };
    let root = builder.document()?;
    Ok(Parsed { root, problems: builder.problems, unknown: builder.unknown })
}

struct Builder<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: Vec<Problem>,
    unknown: Vec<Id>,
}

type Failed = (Mark, String);

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Failed> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err((mark(&span), "a second document begins here; a configuration is one".into()));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        match root {
            Some(root) if !root.is_nothing() => Ok(root),
            _ => Err((
                Mark { at: Location { line: 1, column: 1 }, width: 1 },
                "there is nothing in the file, wanted `listeners`, `upstreams` and `routes`".into(),
            )),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Failed> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Failed> {
        let mark = mark(span);
        let id = self.number(mark, depth)?;
        let (kind, anchor, tagged) = match event {
            Event::Alias(anchor) => return self.alias(id, anchor, mark, depth),
            Event::Scalar(text, style, anchor, tag) => {
                (Kind::Scalar(scalar(&text, style, span)), anchor, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => (Kind::List(self.items(depth + 1)?), anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (Kind::Mapping(self.entries(id, depth + 1)?), anchor, tag.is_some()),
            // every other event stands between nodes, never in the place of one
            _ => return Err((mark, "a value belongs here".into())),
        };
        if tagged {
            let at = span.tag_span().map_or(mark, |tag| self::mark(&tag));
            self.problem(id, at, "tags (`!name`) have no meaning in a configuration; leave it out");
        }
        let node = Node { id, mark, kind };
        if anchor != 0 {
            let copy = self.copy(&node, depth)?;
            self.anchors.insert(anchor, copy);
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, Failed> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth)?),
            }
        }
    }

    fn entries(&mut self, mapping: Id, depth: usize) -> Result<Vec<Entry>, Failed> {
        let mut entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(text, _, _, None), span) => {
                    let text = if span.start == span.end { String::new() } else { environment::reveal(&text) };
                    Key { text, mark: mark(&span) }
                }
                (_, span) => return Err((mark(&span), "a key has to be plain text".into())),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth)?;
            let first = lines.insert(key.text.clone(), key.mark.at.line);
            let wrong = if key.text == "<<" {
                // what it would bring in is not missing
                self.unknown.push(mapping);
                Some("merge keys (`<<`) are not read; an alias can stand for a whole value".into())
            } else if key.text.contains("${") {
                Some("variables are read in values, not in keys".into())
            } else {
                first.map(|line| {
                    format!("the key `{}` stands here a second time; the first is on line {line}", key.text)
                })
            };
            match wrong {
                Some(wrong) => self.problem(mapping, key.mark, &wrong),
                None => entries.push(Entry { key, value }),
            }
        }
    }

    fn alias(&mut self, id: Id, anchor: usize, mark: Mark, depth: usize) -> Result<Node, Failed> {
        if let Some(node) = self.anchors.remove(&anchor) {
            let copy = self.copy(&node, depth).map_err(|(_, message)| (mark, message))?;
            self.anchors.insert(anchor, node);
            return Ok(copy);
        }
        self.problem(id, mark, "the alias stands within the value that it repeats");
        self.unknown.push(id);
        Ok(Node { id, mark, kind: Kind::Mapping(Vec::new()) })
    }

    /// A copy with numbers of its own.
    fn copy(&mut self, node: &Node, depth: usize) -> Result<Node, Failed> {
        let id = self.number(node.mark, depth)?;
        let kind = match &node.kind {
            Kind::Scalar(scalar) => Kind::Scalar(scalar.clone()),
            Kind::List(items) => {
                Kind::List(items.iter().map(|item| self.copy(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Kind::Mapping(entries) => {
                let copy =
                    |entry: &Entry| Ok(Entry { key: entry.key.clone(), value: self.copy(&entry.value, depth + 1)? });
                Kind::Mapping(entries.iter().map(copy).collect::<Result<_, _>>()?)
            }
        };
        Ok(Node { id, mark: node.mark, kind })
    }

    fn number(&mut self, mark: Mark, depth: usize) -> Result<Id, Failed> {
        self.nodes += 1;
        if depth > DEEPEST {
            return Err((mark, too_deep()));
        }
        if self.nodes > MOST_NODES {
            return Err((mark, format!("there are more than {MOST_NODES} values, those that aliases repeat included")));
        }
        Ok(self.nodes)
    }

    fn problem(&mut self, node: Id, mark: Mark, message: &str) {
        self.problems.push(Problem { node, mark, message: message.to_owned() });
    }
}

fn too_deep() -> String {
    format!("values are nested more than {DEEPEST} deep")
}

fn scalar(text: &str, style: ScalarStyle, span: &Span) -> Scalar {
    // the parser writes `~` where nothing stands
    let text =
        if span.start == span.end && style == ScalarStyle::Plain { String::new() } else { environment::reveal(text) };
    Scalar { text, written: None, plain: style == ScalarStyle::Plain }
}

fn mark(span: &Span) -> Mark {
    let (start, end) = (&span.start, &span.end);
    let width = if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 };
    Mark { at: Location { line: start.line(), column: start.col() + 1 }, width }
}

fn syntax(error: &ScanError) -> Failed {
    let at = Location { line: error.marker().line(), column: error.marker().col() + 1 };
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::UnknownAnchor => "the alias stands for nothing; no `&anchor` of that name comes before it".into(),
        ErrorKind::MappingValueNotAllowed => {
            "no key can stand here; is the indentation right, or does a text with `: ` need quotes?".into()
        }
        ErrorKind::InvalidColonPlacement => "no key can stand here; is a bracket or a quote open above?".into(),
        _ => error.info(),
    };
    (Mark { at, width: 1 }, message)
}
