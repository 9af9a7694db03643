//! Every view of the dashboard passes an accessibility checker, in light and dark and on a phone, and breaks no rule of its own policy.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Page, answer, gateway, origin};

use super::pages::{address, signed_in};
use super::{TOKEN, yaml};

/// The checker, which `tests/run` installs.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/node_modules/axe-core/axe.min.js");

/// What the checker finds on the page, and what is wider than the window. The page is kept as a picture, for people to look at.
pub async fn check(page: &mut Page, name: &str) {
    let axe = fs::read_to_string(AXE).expect("axe-core; `tests/run` installs it");
    for (look, width, is_dark) in [("light", 1280, false), ("dark", 1280, true), ("phone", 360, false)] {
        page.look(width, is_dark).await;
        let found = page.value(&format!("{axe};axe.run().then(found => found.violations.map(one => [one.id, one.nodes.map(node => [node.html, node.failureSummary])]))")).await;
        assert_eq!(found, Value::Array(Vec::new()), "{name}, {look}: {found:#}");
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(page.value(fits).await, true, "{name}, {look}: the page scrolls sideways");
        let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dashboard");
        fs::create_dir_all(&pictures).unwrap();
        fs::write(pictures.join(format!("{name}-{look}.png")), page.screenshot().await).unwrap();
    }
    let foreign = page
        .value("performance.getEntriesByType('resource').filter(one => !one.name.startsWith(location.origin)).length")
        .await;
    assert_eq!(foreign, 0, "{name}: another host was asked");
}

/// What the browser says that is no answer of the API.
pub fn faults(page: &Page) -> Vec<&String> {
    page.complaints.iter().filter(|one| !one.contains("\"source\":\"network\"")).collect()
}

#[tokio::test]
async fn the_form_and_the_view_without_a_ledger_are_accessible() {
    let origin = origin().await;
    origin.answers(answer(200).body("fine"));
    let yaml = yaml(&format!(", token: {TOKEN}")).replace("127.0.0.1:1 }", &format!("\"{}\" }}", origin.server()));
    let gateway = gateway().yaml(yaml).start().await;
    let mut page = Page::open().await;
    page.go(&address(&gateway, "/dashboard")).await;
    page.until("document.getElementById('token')").await;
    check(&mut page, "login").await;
    let mut page = signed_in(&gateway, "/dashboard").await;
    page.until("document.querySelector('[aria-label=\"Servers of all upstreams\"]')").await;
    check(&mut page, "now-without-ledger").await;
    assert!(faults(&page).is_empty(), "{:?}", page.complaints);
}

#[tokio::test]
async fn a_keyboard_goes_from_the_first_link_to_the_content() {
    let gateway = gateway().yaml(yaml("")).start().await;
    let mut page = Page::open().await;
    page.go(&address(&gateway, "/dashboard")).await;
    page.until("document.querySelector('.tile dd')").await;
    page.press("Tab").await;
    assert_eq!(page.value("document.activeElement.textContent").await, "Skip to the content");
    let is_seen = "document.activeElement.getBoundingClientRect().top >= 0 && getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    assert_eq!(page.value(is_seen).await, true);
    page.press("Enter").await;
    page.until("document.activeElement.id === 'main'").await;
    page.press("Tab").await;
    page.until("document.activeElement.name === 'minutes'").await;
    page.press("Tab").await;
    page.until("document.activeElement.textContent === 'Pause'").await;
    page.press("Enter").await;
    page.until("document.activeElement.textContent === 'Go on'").await;
}
