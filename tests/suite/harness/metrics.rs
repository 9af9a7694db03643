//! Prometheus text as a map. Knows no types: a sample is a name, its labels and a number.

use std::collections::BTreeMap;

/// The metrics of one moment.
#[derive(Debug)]
pub struct Metrics {
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    /// Reads the text.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect() }
    }

    /// The sum of the samples of this name whose labels are among theirs; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).sum()
    }

    /// Whether there is a sample of this name and with these labels.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.find(name, labels).next().is_some()
    }

    /// The gauges of work in flight, each with its name and labels as text.
    pub fn in_flight(&self) -> Vec<(String, f64)> {
        let gauges = self.samples.iter().filter(|(name, _, _)| name.contains("in_flight"));
        gauges.map(|(name, labels, value)| (format!("{name}{labels:?}"), *value)).collect()
    }

    fn find<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = f64> + 'a {
        let fits = move |theirs: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| theirs.get(*key).is_some_and(|own| own == value))
        };
        self.samples.iter().filter(move |(own, theirs, _)| own == name && fits(theirs)).map(|(_, _, value)| *value)
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
    let Some((name, labels)) = series.split_once('{') else { return (series.to_owned(), BTreeMap::new(), value) };
    let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("labels without end: {line}"));
    let mut all = BTreeMap::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next() {
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => text.extend(characters.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                Some((_, c)) => text.push(c),
                None => panic!("a label without end: {line}"),
            }
        };
        all.insert(key.to_owned(), text);
        rest = after[end..].trim_start_matches(',');
    }
    (name.to_owned(), all, value)
}

#[test]
fn samples_are_read_with_and_without_labels() {
    let metrics = Metrics::parse("# HELP a b\na 1\nb{x=\"1\",y=\"q\\\"},{\"} 2.5\nb{x=\"2\"} +Inf\nc_in_flight 0\n");
    assert_eq!(metrics.sum("a", &[]), 1.0);
    assert_eq!(metrics.sum("b", &[("x", "1"), ("y", "q\"},{")]), 2.5);
    assert!(metrics.sum("b", &[]).is_infinite() && !metrics.has("b", &[("x", "3")]));
    assert_eq!(metrics.in_flight(), [("c_in_flight{}".to_owned(), 0.0)]);
}
