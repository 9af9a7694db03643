//! The sockets of an upgrade: those that the new YAML names go on, the others are closed, new ones are bound.

use std::fs;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::harness::{eventually, free_port, gateway, http1, origin};

#[tokio::test]
async fn an_upgrade_closes_what_the_yaml_names_no_more_and_binds_what_is_new() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let two = builder.text().replacen("listeners: [", "listeners: [{ address: \"127.0.0.2:0\" }, ", 1);
    let mut gateway = builder.yaml(&two).start().await;
    let (gone, kept) = (gateway.addresses()[0], gateway.addresses()[1]);
    let new = SocketAddr::from(([127, 0, 0, 3], free_port()));
    fs::write(gateway.file(), two.replacen("127.0.0.2:0", &new.to_string(), 1)).unwrap();
    let old = gateway.upgrade().await;
    for address in [kept, new] {
        assert_eq!(http1(address).await.get("/").await.status, 200);
    }
    eventually("a closed port", async || TcpStream::connect(gone).await.is_err()).await;
    gateway.ended(old).await;
    assert_eq!(http1(kept).await.get("/").await.status, 200);
    assert_eq!(gateway.ask("GET", "/readyz").await.text(), "ready");
}
