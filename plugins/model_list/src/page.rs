//! The page of a list that a caller of Anthropic's API asks for.

/// The most models on a page, and how many there are where the caller does not say.
const MOST: usize = 1000;
const DEFAULT: usize = 20;

/// Which part of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    cursor: Option<Cursor>,
}

#[derive(Debug, PartialEq, Eq)]
enum Cursor {
    /// Just behind this model.
    After(String),
    /// Just before it.
    Before(String),
}

/// A part of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut<'a> {
    pub(crate) names: &'a [&'a str],
    /// Whether there are more in the direction of the page.
    pub(crate) has_more: bool,
}

impl Page {
    /// The page that a query asks for: `limit`, `after_id` and `before_id`; other keys do not count.
    ///
    /// # Errors
    /// What is wrong with it, for the caller.
    pub(crate) fn of(query: &str) -> Result<Self, String> {
        let mut page = Self { limit: DEFAULT, cursor: None };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let cursor = match &*key {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    page.limit = limit.ok_or_else(|| format!("limit: must be a number from 1 to {MOST}"))?;
                    continue;
                }
                "after_id" => Cursor::After(value.into_owned()),
                "before_id" => Cursor::Before(value.into_owned()),
                _ => continue,
            };
            if page.cursor.replace(cursor).is_some() {
                return Err("after_id and before_id: only one of them may be given".to_owned());
            }
        }
        Ok(page)
    }

    /// That part of these names.
    ///
    /// # Errors
    /// That the model is not in the list from which it is to be counted.
    pub(crate) fn cut<'a>(&self, names: &'a [&'a str]) -> Result<Cut<'a>, String> {
        let place = |key: &str, id: &str| {
            names.iter().position(|name| *name == id).ok_or_else(|| format!("{key}: there is no model of this id"))
        };
        let (from, to, has_more) = match &self.cursor {
            Some(Cursor::Before(id)) => {
                let to = place("before_id", id)?;
                let from = to.saturating_sub(self.limit);
                (from, to, from > 0)
            }
            cursor => {
                let from = match cursor {
                    Some(Cursor::After(id)) => place("after_id", id)? + 1,
                    _ => 0,
                };
                let to = names.len().min(from + self.limit);
                (from, to, to < names.len())
            }
        };
        Ok(Cut { names: &names[from..to], has_more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a", "b/1", "c", "d", "e"];

    fn cut(query: &str) -> Result<(String, bool), String> {
        let page = Page::of(query)?;
        let cut = page.cut(&NAMES)?;
        Ok((cut.names.join(" "), cut.has_more))
    }

    #[test]
    fn a_page_begins_behind_or_ends_before_a_model() {
        for (query, names, has_more) in [
            ("", "a b/1 c d e", false),
            ("limit=1000&beta=true", "a b/1 c d e", false),
            ("limit=2", "a b/1", true),
            ("limit=2&after_id=b%2F1", "c d", true),
            ("limit=2&after_id=c", "d e", false),
            ("after_id=e", "", false),
            ("limit=2&before_id=d", "b/1 c", true),
            ("limit=2&before_id=c", "a b/1", false),
            ("before_id=a", "", false),
        ] {
            assert_eq!(cut(query), Ok((names.to_owned(), has_more)), "{query}");
        }
        for query in ["limit=0", "limit=1001", "limit=x", "after_id=z", "before_id=", "after_id=a&before_id=c"] {
            assert!(cut(query).is_err(), "{query}");
        }
    }

    #[test]
    fn pages_one_behind_the_other_are_the_whole_list() {
        for limit in 1..=6 {
            let (mut all, mut query) = (Vec::new(), format!("limit={limit}"));
            loop {
                let page = Page::of(&query).unwrap();
                let cut = page.cut(&NAMES).unwrap();
                all.extend_from_slice(cut.names);
                let Some(last) = cut.names.last().filter(|_| cut.has_more) else { break };
                query = format!("limit={limit}&after_id={last}");
            }
            assert_eq!(all, NAMES, "{limit}");
        }
    }
}
