//! YAML text → tree of values. Features of YAML that a configuration has no use for are errors here, with their places.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use crate::located::Location;
use crate::node::{Entry, Id, Key, Kind, Mark, Node, Problem, Scalar};
use crate::variables;

/// How deep values may be nested.
const MAX_DEPTH: usize = 64;
/// How many values a file may hold with all that it includes, those that aliases repeat included.
const MAX_NODES: usize = 200_000;

/// A text that is YAML, and its uses of features that a configuration has no use for.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub root: Node,
    pub problems: Vec<Problem>,
    /// Values that cannot be read because of a problem with them.
    pub unreadable: Vec<Id>,
    /// The last number of a value.
    pub last: Id,
}

/// Why a text is no tree.
#[derive(Debug)]
pub(crate) enum NotYaml {
    /// It holds nothing.
    Empty,
    /// The first place where it is not YAML, or exceeds a limit.
    At(Mark, String),
}

/// Parses the text of a file with this number. Values are numbered from `last` on.
///
/// # Errors
/// If it is not YAML, or exceeds the limits of depth and size.
pub(crate) fn parse(text: &str, file: usize, last: Id) -> Result<Parsed, NotYaml> {
    let hidden = variables::hide(text);
    let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(&hidden, options),
        file,
        anchors: HashMap::new(),
        nodes: last,
        problems: Vec::new(),
        unreadable: Vec::new(),
    };
    let root = builder.document()?;
    Ok(Parsed { root, problems: builder.problems, unreadable: builder.unreadable, last: builder.nodes })
}

struct Builder<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    file: usize,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: Vec<Problem>,
    unreadable: Vec<Id>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, NotYaml> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document begins here; a configuration is one".into();
                    return Err(NotYaml::At(self.mark(&span), message));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        match root {
            Some(root) if !root.is_nothing() => Ok(root),
            _ => Err(NotYaml::Empty),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), NotYaml> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error, self.file)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, NotYaml> {
        let mark = self.mark(span);
        let id = self.number(mark, depth)?;
        let (kind, anchor, tagged) = match event {
            Event::Alias(anchor) => return self.alias(id, anchor, mark, depth),
            Event::Scalar(text, style, anchor, tag) => {
                (Kind::Scalar(scalar(&text, style, span)), anchor, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => (Kind::List(self.items(depth + 1)?), anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (Kind::Mapping(self.entries(id, depth + 1)?), anchor, tag.is_some()),
            // every other event stands between nodes, never in the place of one
            _ => return Err(NotYaml::At(mark, "a value belongs here".into())),
        };
        if tagged {
            let at = span.tag_span().map_or(mark, |tag| self.mark(&tag));
            self.problem(id, at, "tags (`!name`) have no meaning in a configuration; leave it out");
        }
        let node = Node { id, mark, kind };
        if anchor != 0 {
            let copy = self.copy(&node, depth)?;
            self.anchors.insert(anchor, copy);
        }
        Ok(node)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, NotYaml> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth)?),
            }
        }
    }

    fn entries(&mut self, mapping: Id, depth: usize) -> Result<Vec<Entry>, NotYaml> {
        let mut entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(text, _, _, None), span) => {
                    let text = if span.start == span.end { String::new() } else { variables::reveal(&text) };
                    Key { text, mark: self.mark(&span) }
                }
                (_, span) => return Err(NotYaml::At(self.mark(&span), "a key has to be plain text".into())),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth)?;
            let first = lines.insert(key.text.clone(), key.mark.at.line);
            let wrong = if key.text == "<<" {
                // what it would bring in is not missing
                self.unreadable.push(mapping);
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

    fn alias(&mut self, id: Id, anchor: usize, mark: Mark, depth: usize) -> Result<Node, NotYaml> {
        if let Some(node) = self.anchors.remove(&anchor) {
            let copy = self.copy(&node, depth).map_err(|error| match error {
                NotYaml::At(_, message) => NotYaml::At(mark, message),
                NotYaml::Empty => error,
            })?;
            self.anchors.insert(anchor, node);
            return Ok(copy);
        }
        self.problem(id, mark, "the alias stands within the value that it repeats");
        self.unreadable.push(id);
        Ok(Node { id, mark, kind: Kind::Mapping(Vec::new()) })
    }

    /// A copy with numbers of its own.
    fn copy(&mut self, node: &Node, depth: usize) -> Result<Node, NotYaml> {
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

    fn number(&mut self, mark: Mark, depth: usize) -> Result<Id, NotYaml> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(NotYaml::At(mark, too_deep()));
        }
        if self.nodes > MAX_NODES {
            let message = format!("there are more than {MAX_NODES} values, those that aliases repeat included");
            return Err(NotYaml::At(mark, message));
        }
        Ok(self.nodes)
    }

    fn mark(&self, span: &Span) -> Mark {
        let (start, end) = (&span.start, &span.end);
        let width = if start.line() == end.line() { end.col().saturating_sub(start.col()).max(1) } else { 1 };
        Mark { at: Location { file: self.file, line: start.line(), column: start.col() + 1 }, width }
    }

    fn problem(&mut self, node: Id, mark: Mark, message: &str) {
        self.problems.push(Problem { node, mark, message: message.to_owned() });
    }
}

fn too_deep() -> String {
    format!("values are nested more than {MAX_DEPTH} deep")
}

fn scalar(text: &str, style: ScalarStyle, span: &Span) -> Scalar {
    // the parser writes `~` where nothing stands
    let text =
        if span.start == span.end && style == ScalarStyle::Plain { String::new() } else { variables::reveal(text) };
    Scalar { text, written: None, plain: style == ScalarStyle::Plain }
}

fn syntax(error: &ScanError, file: usize) -> NotYaml {
    let at = Location { file, line: error.marker().line(), column: error.marker().col() + 1 };
    let message = match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::UnknownAnchor => "the alias stands for nothing; no `&anchor` of that name comes before it".into(),
        ErrorKind::MappingValueNotAllowed => {
            "no key can stand here; is the indentation right, or does a text with `: ` need quotes?".into()
        }
        ErrorKind::InvalidColonPlacement => "no key can stand here; is a bracket or a quote open above?".into(),
        _ => error.info(),
    };
    NotYaml::At(Mark { at, width: 1 }, message)
}
