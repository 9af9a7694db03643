//! The files of the dashboard, as they are in the binary.

use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};

use crate::admin::answer::{self, Answer};

use super::HTML;

/// The page that all views share.
const PAGE: &str = include_str!("assets/page.html");

/// The paths of files.
const FOLDER: &str = "/dashboard/assets/";
/// Files that the login form needs: they are there without a token.
const OF_LOGIN: [&str; 4] = ["base.css", "icon.svg", "login.css", "login.js"];

/// Browsers ask each time whether a file has changed, which an upgrade does.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

macro_rules! files {
    ($($name:literal)*) => { [$(($name, include_bytes!(concat!("assets/", $name)))),*] };
}

/// Each file by its name.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files: &[(&'static str, &'static [u8])] = &files! {
        "api.js"
        "base.css"
        "call.js"
        "calls-table.js"
        "calls.js"
        "chart.js"
        "conversation.js"
        "conversations.js"
        "data.css"
        "dom.js"
        "filters.js"
        "format.js"
        "icon.svg"
        "local-minutes.js"
        "login.css"
        "login.js"
        "main.js"
        "now-figures.js"
        "now-gateway.js"
        "now.js"
        "page.css"
        "parts.js"
        "poll.js"
        "spend.js"
        "table.js"
        "uPlot.LICENSE.txt"
        "uPlot.iife.min.js"
        "uPlot.min.css"
    };
    files.iter().map(|(name, body)| File::new(name, body)).collect()
});

struct File {
    name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    etag: HeaderValue,
}

impl File {
    fn new(name: &'static str, body: &'static [u8]) -> Self {
        let content_type = match name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        let sum = digest(&SHA256, body);
        let etag = sum.as_ref()[..12].iter().fold("\"".to_owned(), |mut etag, byte| {
            // writing to a string cannot fail
            let _ = write!(etag, "{byte:02x}");
            etag
        });
        let etag = HeaderValue::from_str(&(etag + "\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { name, content_type, body, etag }
    }
}

/// The page of a view; its script reads the path.
pub(super) fn page() -> Answer {
    answer::answer(StatusCode::OK, HTML, Bytes::from_static(PAGE.as_bytes()))
}

/// Whether the path is one of a file that the login form needs.
pub(super) fn is_of_login(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|name| OF_LOGIN.contains(&name))
}

/// The file at this path; `None` if there is none. A browser that has it is told so.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let name = path.strip_prefix(FOLDER)?;
    let file = FILES.iter().find(|file| file.name == name)?;
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|etag| etag == file.etag);
    let mut answer = if is_known {
        answer::answer(StatusCode::NOT_MODIFIED, file.content_type, Bytes::new())
    } else {
        answer::answer(StatusCode::OK, file.content_type, Bytes::from_static(file.body))
    };
    let headers = answer.headers_mut();
    headers.insert(ETAG, file.etag.clone());
    headers.insert(CACHE_CONTROL, REVALIDATE);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_served_and_has_a_type() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard/assets");
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<_> = names.filter(|name| !name.ends_with(".html")).collect();
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, there);
        assert!(OF_LOGIN.iter().all(|name| served.contains(*name)));
    }

    #[test]
    fn a_browser_that_has_a_file_does_not_get_it_again() {
        let first = file("/dashboard/assets/base.css", &HeaderMap::new()).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let known = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        let again = file("/dashboard/assets/base.css", &known).unwrap();
        assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &first.headers()[ETAG]));
        let other = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"other\""))]);
        assert_eq!(file("/dashboard/assets/base.css", &other).unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn nothing_in_the_pages_is_inline() {
        for page in [PAGE, include_str!("assets/login.html")] {
            for inline in ["<style", " style=", "<script>", "javascript:", "http://", "https://"] {
                assert!(!page.contains(inline), "{inline}");
            }
            let mut attributes = page.split_whitespace().filter_map(|word| word.split_once('='));
            assert!(!attributes.any(|(name, _)| name.starts_with("on")), "a listener");
        }
    }
}
