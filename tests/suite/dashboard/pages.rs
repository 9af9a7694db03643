//! The dashboard in a real Chromium: what a person sees and does there.

use crate::harness::{Gateway, Page, answer, gateway, http1, origin};

use super::{TOKEN, yaml};

pub fn address(gateway: &Gateway, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", gateway.admin().port())
}

/// Signs in by the form, at the page that it hides.
pub async fn signed_in(gateway: &Gateway, path: &str) -> Page {
    let mut page = Page::open().await;
    page.go(&address(gateway, path)).await;
    page.until(&format!("document.querySelector('input[name=next]')?.value === '{path}'")).await;
    submit(&mut page, TOKEN).await;
    page.until("document.querySelector('main h1')?.textContent !== 'Tollgate' && document.querySelector('main h1')")
        .await;
    page
}

async fn submit(page: &mut Page, token: &str) {
    page.value(&format!(
        "document.getElementById('token').value = '{token}'; document.querySelector('form').requestSubmit()"
    ))
    .await;
}

#[tokio::test]
async fn the_form_leads_to_the_page_that_was_asked_for_and_signing_out_back_to_it() {
    let gateway = gateway().yaml(yaml(&format!(", token: {TOKEN}"))).start().await;
    let mut page = Page::open().await;
    page.go(&address(&gateway, "/dashboard/calls?tenant=team-a")).await;
    page.until("document.querySelector('input[name=next]')?.value === '/dashboard/calls?tenant=team-a'").await;
    assert_eq!(page.value("document.activeElement.id").await, "token");
    submit(&mut page, "a-wrong-token-0123456789").await;
    page.until("document.querySelector('[role=alert]')?.textContent.includes('not the token')").await;
    page.until("document.querySelector('input[name=next]').value === '/dashboard/calls?tenant=team-a'").await;
    submit(&mut page, TOKEN).await;
    page.until("document.querySelector('h1')?.textContent === 'Calls'").await;
    assert_eq!(page.value("location.pathname + location.search").await, "/dashboard/calls?tenant=team-a");
    assert_eq!(page.value("document.querySelector('[name=tenant]').value").await, "team-a");
    assert_eq!(page.value("document.cookie").await, "", "no script has the cookie");
    page.until("!document.getElementById('logout').hidden").await;
    page.value("document.getElementById('logout').requestSubmit()").await;
    page.until("document.getElementById('token')").await;
    page.go(&address(&gateway, "/dashboard")).await;
    page.until("document.getElementById('token')").await;
}

#[tokio::test]
async fn a_link_of_another_site_leads_to_the_page_of_who_is_signed_in() {
    let gateway = gateway().yaml(yaml(&format!(", token: {TOKEN}"))).start().await;
    let mut page = signed_in(&gateway, "/dashboard").await;
    // `localhost` is another site than `127.0.0.1`
    let elsewhere = origin().await;
    let link = format!("<!doctype html><a href=\"{}\">spend</a>", address(&gateway, "/dashboard/spend?group=key"));
    elsewhere.answers_with(move |_| answer(200).header("content-type", "text/html").body(link.clone()));
    page.go(&format!("http://localhost:{}/", elsewhere.address().port())).await;
    page.until("document.querySelector('a')").await;
    page.value("document.querySelector('a').click()").await;
    page.until("document.querySelector('h1')?.textContent === 'Spend'").await;
    assert_eq!(page.value("location.search").await, "?group=key");
}

#[tokio::test]
async fn a_session_that_is_over_shows_the_form() {
    let gateway = gateway().yaml(yaml(&format!(", token: {TOKEN}"))).start().await;
    let mut page = signed_in(&gateway, "/dashboard").await;
    page.until("document.querySelector('.tiles')").await;
    gateway.rewrite(yaml(", token: another-token-0123456789"));
    gateway.signal(nix::sys::signal::Signal::SIGHUP);
    page.until("document.getElementById('token')").await;
}

#[tokio::test]
async fn what_goes_on_is_seen_without_a_ledger() {
    let origin = origin().await;
    origin.answers(answer(200).body("fine"));
    let yaml = yaml("").replace("127.0.0.1:1 }", &format!("\"{}\" }}", origin.server()));
    let gateway = gateway().yaml(yaml).start().await;
    let mut page = Page::open().await;
    page.go(&address(&gateway, "/dashboard")).await;
    page.until("document.querySelector('.tile dd')").await;
    page.until("document.querySelector('main').innerText.includes('Nothing needs attention')").await;
    http1(gateway.address()).await.get("/").await;
    page.until("document.querySelector('.tiles').innerText.includes('1 in 60 min')").await;
    page.until("document.querySelector('[aria-label=\"Servers of all upstreams\"]')?.innerText.includes('up')").await;
    // paused, nothing is asked; the button goes on
    page.value("[...document.querySelectorAll('button')].find(one => one.textContent === 'Pause').click()").await;
    assert_eq!(page.value("document.querySelector('[aria-pressed=true]').textContent").await, "Go on");
}
