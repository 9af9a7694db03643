//! The model that a form names, out of its body as it passes (RFC 7578). Keeps no more than a line of it; every byte passes as it
//! came.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;

/// The longest boundary there may be (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;
/// The most that the head of a part, or a name, may take; a longer one is of no interest.
const MOST: usize = 4 << 10;
/// The longest name of a model.
const LONGEST_MODEL: usize = 512;

/// A form on its way.
#[derive(Debug)]
pub struct FormModel {
    /// What stands between two parts: a line's end, two dashes and the boundary.
    delimiter: Vec<u8>,
    /// What has come and may matter.
    held: Vec<u8>,
    part: Part,
    model: Option<String>,
}

/// Where in a form the reading has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// The value that is looked for.
    Model,
    /// Of no interest up to the next delimiter.
    Other,
    /// No more is to be read.
    Done,
}

impl FormModel {
    /// A reader of the form that a request with these headers brings; none if it brings none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let (kind, parameters) = kind.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        });
        let boundary = boundary.filter(|boundary| (1..=LONGEST_BOUNDARY).contains(&boundary.len()))?;
        // the first delimiter may have no line before it
        Some(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            held: b"\r\n".to_vec(),
            part: Part::Other,
            model: None,
        })
    }

    /// The next bytes of the body.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        // in steps, so that a long piece is never copied as a whole
        while !bytes.is_empty() && self.part != Part::Done {
            let (step, rest) = bytes.split_at(bytes.len().min(MOST));
            self.held.extend_from_slice(step);
            while self.read() {}
            bytes = rest;
        }
    }

    /// The model's name, once it has come.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Reads on; whether something was found, so that there may be more.
    fn read(&mut self) -> bool {
        match self.part {
            Part::Other => {
                let found = memmem::find(&self.held, &self.delimiter);
                if found.is_some() {
                    self.part = Part::Head;
                }
                // the beginning of a delimiter may be all that has come of it
                let kept = self.held.len().saturating_sub(self.delimiter.len() - 1);
                self.held.drain(..found.map_or(kept, |at| at + self.delimiter.len()));
                found.is_some()
            }
            Part::Head => {
                let Some(end) = memmem::find(&self.held, b"\r\n\r\n") else {
                    if self.held.len() > MOST {
                        self.part = Part::Other;
                    }
                    return self.held.len() > MOST;
                };
                self.part = if names_model(&self.held[..end]) { Part::Model } else { Part::Other };
                // the line's end before a delimiter may be the one behind the head
                self.held.drain(..end + 2);
                true
            }
            Part::Model => {
                let end = memmem::find(&self.held, &self.delimiter);
                if let Some(end) = end {
                    let value = self.held.get(2..end).unwrap_or_default();
                    let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= LONGEST_MODEL);
                    self.model = value.filter(|value| !value.is_empty()).map(str::to_owned);
                    self.part = Part::Done;
                    self.held = Vec::new();
                } else if self.held.len() > MOST {
                    self.part = Part::Done;
                    self.held = Vec::new();
                }
                false
            }
            Part::Done => false,
        }
    }
}

/// Whether the head of a part says that it is the field `model`.
fn names_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    head.split("\r\n").any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        let mut parameters = value.split(';').map(str::trim);
        name.trim().eq_ignore_ascii_case("content-disposition")
            && parameters.next().is_some_and(|kind| kind.eq_ignore_ascii_case("form-data"))
            && parameters.any(|parameter| matches!(parameter, "name=\"model\"" | "name=model"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(kind: &str) -> Option<FormModel> {
        FormModel::of(&HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]))
    }

    fn model(body: &[u8], cut: usize) -> Option<String> {
        let mut form = reader("multipart/form-data; boundary=\"xYz\"").unwrap();
        body.chunks(cut).for_each(|piece| form.feed(piece));
        form.model().map(str::to_owned)
    }

    const FIELD: &str = "--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n";

    fn file(length: usize) -> String {
        let head = "--xYz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"model\"\r\ncontent-type: audio/wav\r\n\r\n";
        format!("{head}{}--xYnot name=\"model\"\r\n\r\nfake\r\n", "\r\n--x".repeat(length))
    }

    #[test]
    fn the_model_is_found_before_and_behind_the_file_however_it_is_cut() {
        let empty = "--xYz\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\r\n";
        for body in [
            format!("{FIELD}{}--xYz--\r\n", file(3)),
            format!("{}{FIELD}--xYz--\r\n", file(40)),
            format!("preamble\r\n{empty}{}{empty}{FIELD}--xYz--", file(2)),
        ] {
            for cut in 1..body.len() {
                assert_eq!(model(body.as_bytes(), cut).as_deref(), Some("whisper-1"), "{cut} {body}");
            }
        }
        assert_eq!(model(format!("{}{FIELD}--xYz--", file(1 << 20)).as_bytes(), 65_536).as_deref(), Some("whisper-1"));
    }

    #[test]
    fn a_form_without_one_has_none_and_nothing_is_held_of_it() {
        let long =
            format!("--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--xYz", "m".repeat(100_000));
        let head = format!("--xYz\r\nContent-Disposition: {}", "x".repeat(100_000));
        for body in [file(1000), String::new(), long, head, FIELD[..60].to_owned()] {
            let mut form = reader("multipart/form-data; boundary=xYz").unwrap();
            body.as_bytes().chunks(1000).for_each(|piece| form.feed(piece));
            assert_eq!(form.model(), None);
            assert!(form.held.capacity() < 8 * MOST, "{}", form.held.capacity());
        }
        for kind in
            ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x"]
        {
            assert!(reader(kind).is_none(), "{kind}");
        }
    }
}
