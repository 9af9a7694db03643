//! Gateways that share their limits through a Redis Cluster.

use super::*;
use crate::harness::redis_cluster;

const USERS: u64 = 8;

/// A gateway that shares limits of each user through this Redis.
async fn sharing(redis: &str, limit: u64) -> (Origin, Gateway) {
    limited(&format!(
        "limits: [{{ by: user, requests: {limit}/month, concurrent: 10 }}], redis: {{ {redis}, timeout: 5s }}"
    ))
    .await
}

async fn asked_by(client: &mut Client, user: u64) -> u16 {
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    client.call(request.header("x-user", format!("user {user}")).body(body(call(100))).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn in_a_cluster_each_callers_counts_are_on_some_nodes_and_exact_for_all_gateways() {
    const LIMIT: u64 = 10;
    let nodes = redis_cluster().await;
    // the others are found
    let redis = format!("cluster: [{:?}]", nodes[0].url());
    let gateways = [sharing(&redis, LIMIT).await, sharing(&redis, LIMIT).await];
    let mut clients = [http1(gateways[0].1.address()).await, http1(gateways[1].1.address()).await];
    for user in 0..USERS {
        let mut admitted = 0;
        // what one gateway does not use comes back
        eventually("all used up", async || {
            for client in &mut clients {
                admitted += u64::from(asked_by(client, user).await == 200);
            }
            admitted >= LIMIT
        })
        .await;
        for client in &mut clients {
            assert_eq!((asked_by(client, user).await, admitted), (429, LIMIT));
        }
    }
    let mut counts = Vec::new();
    for node in &nodes {
        counts.push(node.keys("tollgate:limit:").await.len());
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>() as u64, 2 * USERS);
}

#[tokio::test]
async fn a_node_of_a_cluster_in_the_place_of_a_server_is_named_in_the_log_and_fails_no_call() {
    let nodes = redis_cluster().await;
    let (_origin, gateway) = sharing(&format!("url: {:?}", nodes[0].url()), 1000).await;
    let mut client = http1(gateway.address()).await;
    for user in 0..USERS {
        assert_eq!(asked_by(&mut client, user).await, 200);
    }
    gateway.says("name its nodes under `cluster`").await;
}
