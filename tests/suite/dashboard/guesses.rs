//! Guesses of the admin token at the login form: few, slow and bounded.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::harness::{DEADLINE, connect};

use super::{TOKEN, login, start};

#[tokio::test]
async fn a_wrong_token_gets_the_form_again_after_a_while_and_no_session() {
    let gateway = start().await;
    for form in ["token=wrong-0123456789", "token=", "", "other=a", &format!("token={TOKEN}x"), "%%%&&=&token"] {
        let began = Instant::now();
        let answer = login(&gateway, "", form).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{form}");
        assert!(
            answer.text().contains("not the token") && answer.text().contains("name=\"token\""),
            "{}",
            answer.text()
        );
        assert!(began.elapsed() >= Duration::from_millis(500), "{form}");
    }
    // one that was copied with blanks around it
    assert_eq!(login(&gateway, "", &format!("token=+{TOKEN}%0A")).await.status, 303);
    assert!(!gateway.stderr().contains(TOKEN));
}

#[tokio::test]
async fn of_many_guesses_at_once_most_are_not_even_compared() {
    let gateway = start().await;
    let answers = join_all((0..40).map(|_| login(&gateway, "", "token=wrong-0123456789"))).await;
    let (compared, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    assert!(!compared.is_empty() && !refused.is_empty(), "{} and {}", compared.len(), refused.len());
    for answer in refused {
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
    }
    assert_eq!(login(&gateway, "", &format!("token={TOKEN}")).await.status, 303, "afterwards the token opens it");
}

#[tokio::test]
async fn a_form_is_bounded_in_length() {
    let gateway = start().await;
    let answer = login(&gateway, "", &format!("token={}", "a".repeat(17 << 10))).await;
    assert_eq!(answer.status, 413);
    let mut admin = connect(gateway.admin()).await;
    admin.send("POST /dashboard/login HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let piece = format!("1000\r\n{}\r\n", "a".repeat(4096));
    for _ in 0..5 {
        // it may be refused before all of it is sent
        let _ = admin.try_send(&piece).await;
    }
    let answer = tokio::time::timeout(DEADLINE, admin.answer()).await.expect("an answer");
    assert_eq!(answer.status, 413);
}
