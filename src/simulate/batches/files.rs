//! OpenAI's files: those that are uploaded for batches. Keeps the last few thousand.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::super::draws::Draws;
use super::super::failure::Failure;
use super::Found;

/// Files that are kept; the oldest goes first.
const MOST_KEPT: usize = 1_000;

/// All files of a simulator, in the order in which they came.
#[derive(Default)]
pub(super) struct Files(Vec<File>);

struct File {
    id: String,
    name: String,
    created: SystemTime,
    text: String,
}

impl Files {
    /// Takes a form (`multipart/form-data`) with a file and `purpose=batch`.
    pub(super) fn upload(
        &mut self,
        content_type: &str,
        body: &[u8],
        draws: Draws,
        now: SystemTime,
    ) -> Result<Found, Failure> {
        let wrong = |why: &str| Failure::bad_request(why.to_owned());
        let boundary = content_type
            .strip_prefix("multipart/form-data")
            .and_then(|rest| rest.split_once("boundary="))
            .map(|(_, boundary)| boundary.split(';').next().unwrap_or_default().trim().trim_matches('"'))
            .filter(|boundary| !boundary.is_empty())
            .ok_or_else(|| wrong("content-type: a form (multipart/form-data) with its boundary is wanted"))?;
        let form = std::str::from_utf8(body).map_err(|_| wrong("the form is not UTF-8"))?;
        let (mut purpose, mut file) = (None, None);
        for part in Parts::of(form, boundary).ok_or_else(|| wrong("the form does not end with its boundary"))? {
            match part.parameter("name") {
                Some("purpose") => purpose = Some(part.content),
                Some("file") => file = Some((part.parameter("filename").unwrap_or("file"), part.content)),
                _ => {}
            }
        }
        if purpose != Some("batch") {
            return Err(wrong("purpose: only `batch` is simulated"));
        }
        let (name, text) = file.ok_or_else(|| wrong("file: none is there"))?;
        if self.0.len() == MOST_KEPT {
            self.0.remove(0);
        }
        let file = File { id: draws.id("file-"), name: name.to_owned(), created: now, text: text.to_owned() };
        let found = Found::Json(file.json().to_string().into());
        self.0.push(file);
        Ok(found)
    }

    /// The text of a file that a batch is made of.
    pub(super) fn input(&self, id: &str) -> Result<&str, Failure> {
        self.file(id).map(|file| file.text.as_str())
    }

    pub(super) fn list(&self) -> Vec<u8> {
        let data: Vec<Value> = self.0.iter().rev().map(File::json).collect();
        json!({ "object": "list", "data": data, "has_more": false }).to_string().into()
    }

    pub(super) fn describe(&self, id: &str) -> Result<Found, Failure> {
        self.file(id).map(|file| Found::Json(file.json().to_string().into()))
    }

    pub(super) fn content(&self, id: &str) -> Result<Found, Failure> {
        self.file(id).map(|file| Found::Lines(file.text.clone().into(), "application/octet-stream"))
    }

    fn file(&self, id: &str) -> Result<&File, Failure> {
        self.0.iter().find(|file| file.id == id).ok_or_else(|| Failure::no_such("file", id))
    }
}

impl File {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "file",
            "bytes": self.text.len(),
            "created_at": seconds(self.created),
            "filename": self.name,
            "purpose": "batch",
            "status": "processed",
        })
    }
}

/// Seconds since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The parts of a form.
struct Parts<'a> {
    rest: &'a str,
    delimiter: String,
}

struct Part<'a> {
    head: &'a str,
    content: &'a str,
}

impl<'a> Parts<'a> {
    fn of(form: &'a str, boundary: &str) -> Option<Self> {
        let rest = form.strip_prefix(&format!("--{boundary}\r\n"))?;
        let rest = rest.trim_end().strip_suffix(&format!("--{boundary}--"))?;
        Some(Self { rest, delimiter: format!("\r\n--{boundary}\r\n") })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (part, rest) = self.rest.split_once(&self.delimiter).unwrap_or((self.rest, ""));
        self.rest = rest;
        let (head, content) = part.split_once("\r\n\r\n")?;
        // the last one's line end belongs to the boundary behind it
        Some(Part { head, content: content.strip_suffix("\r\n").filter(|_| rest.is_empty()).unwrap_or(content) })
    }
}

impl<'a> Part<'a> {
    /// A parameter of its `content-disposition`.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
        let mut parameters = self.head.lines().find(is_disposition)?.split(';');
        parameters.find_map(|parameter| {
            let (key, value) = parameter.trim().split_once('=')?;
            (key == name).then(|| value.trim_matches('"'))
        })
    }
}
