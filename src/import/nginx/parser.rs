//! Tokens → directives, in a tree.

use std::rc::Rc;

use super::directive::{Directive, Place};
use super::lexer::{Lexer, Token};

/// How deep blocks may be nested.
const DEEPEST: usize = 64;
/// The end of the names of directives whose block is a script.
const SCRIPT: &str = "_by_lua_block";
/// The name given to what a template has in the place of directives.
pub(super) const PLACEHOLDER: &str = "${…}";

/// The directives of a text.
///
/// # Errors
/// That it is none of nginx's: `FILE:LINE: why`.
pub(super) fn parse(file: &Rc<str>, text: &str) -> Result<Vec<Directive>, String> {
    let mut parser = Parser { lexer: Lexer::new(text), file, peeked: None };
    let parsed = parser.block(0);
    parsed.map_err(|(line, why)| format!("{file}:{line}: {why}"))
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    file: &'t Rc<str>,
    peeked: Option<(Token, u32)>,
}

type Fault = (u32, String);

impl Parser<'_> {
    fn next(&mut self) -> Result<Option<(Token, u32)>, Fault> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.lexer.next(),
        }
    }

    /// The directives up to the closing brace, or at depth 0 to the end.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, Fault> {
        let mut directives = Vec::new();
        let mut last = 1;
        while let Some((token, line)) = self.next()? {
            last = line;
            match token {
                Token::Word(name) => directives.push(self.directive(name, line, depth)?),
                Token::Close if depth > 0 => return Ok(directives),
                Token::Close => return Err((line, "this `}` closes nothing".to_owned())),
                Token::Open => return Err((line, "a block wants a name before its `{`".to_owned())),
                Token::End => return Err((line, "this `;` ends nothing".to_owned())),
            }
        }
        if depth > 0 { Err((last, "a `}` is missing at the end".to_owned())) } else { Ok(directives) }
    }

    fn directive(&mut self, name: String, line: u32, depth: usize) -> Result<Directive, Fault> {
        let place = Place { file: Rc::clone(self.file), line };
        if name.ends_with(SCRIPT) {
            self.lexer.skip_script()?;
            return Ok(Directive::new(name, Vec::new(), Some(Vec::new()), place));
        }
        let mut args = Vec::new();
        loop {
            let token = self.next()?;
            match token {
                Some((Token::Word(_), next)) if args.is_empty() && next > line && is_placeholder(&name) => {
                    self.peeked = token;
                    return Ok(Directive::new(PLACEHOLDER.to_owned(), vec![name], None, place));
                }
                Some((Token::Close, _)) | None if args.is_empty() && is_placeholder(&name) => {
                    self.peeked = token;
                    return Ok(Directive::new(PLACEHOLDER.to_owned(), vec![name], None, place));
                }
                Some((Token::Word(word), _)) => args.push(word),
                Some((Token::End, _)) => return Ok(Directive::new(name, args, None, place)),
                Some((Token::Open, open)) if depth == DEEPEST => {
                    return Err((open, format!("blocks are nested more than {DEEPEST} deep")));
                }
                Some((Token::Open, _)) => {
                    let block = self.block(depth + 1)?;
                    return Ok(Directive::new(name, args, Some(block), place));
                }
                Some((Token::Close, _)) | None => {
                    return Err((line, format!("`{name}` is not ended by `;` or a block")));
                }
            }
        }
    }
}

/// Whether this is a variable of the environment that stands for directives in a template.
fn is_placeholder(name: &str) -> bool {
    let inner = name.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
    inner
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Vec<Directive>, String> {
        parse(&Rc::from("n.conf"), text)
    }

    #[test]
    fn directives_have_arguments_blocks_and_places() {
        let tree = parsed("user a;\nhttp {\n server { listen 80;\n }\n}\n").unwrap();
        assert_eq!((tree[0].name.as_str(), tree[0].first()), ("user", "a"));
        let listen = &tree[1].children()[0].children()[0];
        assert_eq!((listen.summary().as_str(), listen.place.to_string().as_str()), ("listen 80", "n.conf:3"));
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        for (text, error) in [
            ("a;\nb", "n.conf:2: `b` is not ended by `;` or a block"),
            ("a {\nb;\n", "n.conf:2: a `}` is missing at the end"),
            ("a;\n}", "n.conf:2: this `}` closes nothing"),
            ("\n;", "n.conf:2: this `;` ends nothing"),
            ("{", "n.conf:1: a block wants a name"),
            ("cat <<'EOF'\nserver { listen 80; }\nEOF\n", "n.conf:3: `EOF` is not ended"),
        ] {
            let found = parsed(text).unwrap_err();
            assert!(found.starts_with(error), "{text:?}: {found}");
        }
        let deep = "a {".repeat(100) + &"}".repeat(100);
        assert!(parsed(&deep).unwrap_err().contains("64 deep"));
    }

    #[test]
    fn a_template_may_have_variables_in_the_place_of_directives() {
        let tree = parsed("server {\n ${ACME}\n ${TLS}\n}\nlisten ${PORT};").unwrap();
        let names: Vec<_> = tree[0].children().iter().map(|child| (child.name.as_str(), child.first())).collect();
        assert_eq!(names, [(PLACEHOLDER, "${ACME}"), (PLACEHOLDER, "${TLS}")]);
        assert_eq!(tree[1].first(), "${PORT}");
    }

    #[test]
    fn a_script_is_a_block_that_nobody_reads() {
        let tree = parsed("location / { access_by_lua_block { if a then { x() } end -- '\n } allow all; }").unwrap();
        let names: Vec<_> = tree[0].children().iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["access_by_lua_block", "allow"]);
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z_]{1,8}", "[ -~]{0,8}", "[a-z$\\\\'\"{};# \t\n]{0,8}"]
    }

    fn directive() -> impl Strategy<Value = Directive> {
        let place = || Place { file: Rc::from("n.conf"), line: 1 };
        let leaf = ("[a-z_]{1,8}", prop::collection::vec(word(), 0..4));
        let leaf = leaf.prop_map(move |(name, args)| Directive::new(name, args, None, place()));
        leaf.prop_recursive(3, 24, 4, move |inner| {
            let block = ("[a-z_]{1,8}", prop::collection::vec(word(), 0..3), prop::collection::vec(inner, 0..4));
            block.prop_map(move |(name, args, block)| {
                Directive::new(name, args, Some(block), Place { file: Rc::from("n.conf"), line: 1 })
            })
        })
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[ -~\n\t\\\\{};'\"#$é]{0,80}") {
            let _ = parsed(&text);
        }

        #[test]
        fn what_is_printed_is_read_as_the_same(tree in prop::collection::vec(directive(), 0..4)) {
            let text: String = tree.iter().map(ToString::to_string).collect();
            prop_assert_eq!(parsed(&text).unwrap(), tree);
        }
    }
}
