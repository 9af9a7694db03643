//! Certificates that are renewed on the disk are served without a reload.

use std::fs;

use crate::harness::{Authority, Issued, eventually, origin};

use super::{der, seen, start};

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_reload_and_half_of_one_is_not() {
    let (authority, origin) = (Authority::new(), origin().await);
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let gateway = start(&[("a", &old)], &origin).await;
    let sees = async |wanted: &Issued| seen(gateway.address(), &authority, "a.test").await.unwrap() == der(wanted);

    fs::write(gateway.folder().join("a.pem"), &new.certificate).unwrap();
    gateway.says("certificates cannot be read again").await;
    assert!(sees(&old).await);

    // as certbot and Kubernetes do it
    let next = gateway.folder().join("a.key.next");
    fs::write(&next, &new.key).unwrap();
    fs::rename(next, gateway.folder().join("a.key")).unwrap();
    eventually("the new certificate", async || sees(&new).await).await;
    gateway.says("certificates read again").await;
    assert!(!gateway.stderr().contains("PRIVATE KEY"));
}
