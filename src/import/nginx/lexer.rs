//! Text of nginx's configuration → tokens, each with its line. Quotes, escapes and comments are as nginx reads them.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, without its quotes and escapes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// The tokens of a text.
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes(), at: 0, line: 1 }
    }

    /// The next token and the line where it begins; `None` at the end.
    ///
    /// # Errors
    /// What is wrong, and on which line.
    pub(super) fn next(&mut self) -> Result<Option<(Token, u32)>, (u32, String)> {
        self.skip_blanks();
        let line = self.line;
        let token = match self.peek() {
            None => return Ok(None),
            Some(b';') => self.single(Token::End),
            Some(b'{') => self.single(Token::Open),
            Some(b'}') => self.single(Token::Close),
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            Some(_) => self.bare(),
        };
        Ok(Some((token, line)))
    }

    /// Skips the block of a script, whose braces are balanced outside of its own quotes and comments.
    ///
    /// # Errors
    /// That there is none, or that it has no end.
    pub(super) fn skip_script(&mut self) -> Result<(), (u32, String)> {
        let line = self.line;
        if !matches!(self.next()?, Some((Token::Open, _))) {
            return Err((line, "a script wants its block in braces".to_owned()));
        }
        let mut depth = 1;
        while depth > 0 {
            match self.peek() {
                None => return Err((line, "the block of this script has no end".to_owned())),
                Some(b'{') => depth += 1,
                Some(b'}') => depth -= 1,
                Some(b'-') if self.text.get(self.at + 1) == Some(&b'-') => {
                    self.skip_line();
                    continue;
                }
                Some(quote @ (b'"' | b'\'')) => self.skip_string(quote),
                Some(_) => {}
            }
            self.advance();
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn advance(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn single(&mut self, token: Token) -> Token {
        self.advance();
        token
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.advance();
        }
    }

    /// Goes to the quote at the end of a string of a script, or of its line.
    fn skip_string(&mut self, quote: u8) {
        self.advance();
        while self.peek().is_some_and(|byte| byte != quote && byte != b'\n') {
            if self.peek() == Some(b'\\') {
                self.advance();
            }
            self.advance();
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.advance(),
                b'#' => self.skip_line(),
                _ => return,
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, (u32, String)> {
        let line = self.line;
        self.advance();
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err((line, "this quote is not closed".to_owned())),
                Some(byte) if byte == quote => break,
                Some(b'\\') => {
                    self.advance();
                    self.advance();
                }
                Some(_) => self.advance(),
            }
        }
        let word = unescaped(&self.text[start..self.at]);
        self.advance();
        // `)` closes a condition
        if !self.peek().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')')) {
            return Err((self.line, "a blank or `;` must follow a closing quote".to_owned()));
        }
        Ok(Token::Word(word))
    }

    fn bare(&mut self) -> Token {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => break,
                // the brace of `${name}` belongs to the word
                b'{' if self.at == start || self.text[self.at - 1] != b'$' => break,
                b'\\' => {
                    self.advance();
                    self.advance();
                }
                _ => self.advance(),
            }
        }
        let end = self.at.min(self.text.len());
        Token::Word(unescaped(&self.text[start..end]))
    }
}

/// The word without its escapes. Others than nginx's own stay as they are, as regular expressions want them.
fn unescaped(raw: &[u8]) -> String {
    let mut word = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        let escaped = if *byte == b'\\' { raw.get(at + 1) } else { None };
        let (meant, length) = match escaped {
            Some(quote @ (b'"' | b'\'' | b'\\')) => (*quote, 2),
            Some(b't') => (b'\t', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            _ => (*byte, 1),
        };
        word.push(meant);
        at += length;
    }
    // a text was cut at ASCII bytes only
    String::from_utf8_lossy(&word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<(Token, u32)>, (u32, String)> {
        let mut lexer = Lexer::new(text);
        let mut all = Vec::new();
        while let Some(token) = lexer.next()? {
            all.push(token);
        }
        Ok(all)
    }

    fn words(text: &str) -> Vec<String> {
        let words = tokens(text).unwrap().into_iter();
        words.filter_map(|(token, _)| if let Token::Word(word) = token { Some(word) } else { None }).collect()
    }

    #[test]
    fn words_end_where_nginx_ends_them() {
        for (text, expected) in [
            ("a b;c", &["a", "b", "c"][..]),
            ("a \"b c\" 'd \"e'", &["a", "b c", "d \"e"]),
            (r#"a "\"x\\y\.z" \.html$"#, &["a", r#""x\y\.z"#, r"\.html$"]),
            ("listen ${PORT};", &["listen", "${PORT}"]),
            ("location /a{", &["location", "/a"]),
            ("a#b # c\nd", &["a#b", "d"]),
            (r"a\ b", &[r"a\ b"]),
            ("~^/(?<n>x)$ 'a\\nb'", &["~^/(?<n>x)$", "a\nb"]),
            ("if ($a = \"b\")", &["if", "($a", "=", "b", ")"]),
            ("a}b", &["a}b"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn every_token_and_every_fault_has_its_line() {
        let lines: Vec<u32> = tokens("a\n{ b\n\n;}").unwrap().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, [1, 2, 2, 4, 4]);
        assert_eq!(tokens("a\n\n'b").unwrap_err(), (3, "this quote is not closed".to_owned()));
        assert_eq!(tokens("a\n'b'c").unwrap_err().0, 2);
    }

    #[test]
    fn a_script_ends_at_its_own_brace() {
        let mut lexer = Lexer::new("{ local a = '}' -- }\n local b = { 1 }; }\nnext;");
        lexer.skip_script().unwrap();
        assert_eq!(lexer.next().unwrap(), Some((Token::Word("next".to_owned()), 3)));
        assert!(Lexer::new("{ {").skip_script().is_err());
        assert!(Lexer::new("x").skip_script().is_err());
    }
}
