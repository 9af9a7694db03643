//! `hash: session`: a session stays on its server, and only those of a dead server move.

use std::collections::HashMap;

use super::*;

async fn spread(servers: &[Origin]) -> Gateway {
    let list: Vec<_> = servers.iter().map(|server| format!("{{ address: \"{}\" }}", server.server())).collect();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         balance: {{ hash: session }}\n    servers: [{}]\nroutes: [{{ upstream: origin }}]\n",
        list.join(", ")
    );
    gateway().yaml(yaml).start().await
}

/// Where the calls of a session go, however it is named.
async fn server_of(gateway: &Gateway, session: usize, by: &str) -> String {
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let metadata = json!({ "device_id": "d", "account_uuid": "", "session_id": format!("s{session}") }).to_string();
    let (request, text) = match by {
        "header" => (request.header("x-claude-code-session-id", format!("s{session}")), json!({ "model": "m" })),
        "user" => (request.header("x-user", format!("s{session}")), json!({ "model": "m" })),
        _ => (request, json!({ "model": "m", "metadata": { "user_id": metadata } })),
    };
    let answer = client.call(request.body(body(text.to_string())).unwrap()).await;
    assert_eq!(answer.status, 200);
    drop(client);
    // what is still in flight counts against its server's bound
    gateway.idle().await;
    let id = answer.header("x-request-id").map(str::to_owned);
    let line = gateway.logged(|line| id.is_none() || line["id"] == id.as_deref().unwrap_or_default()).await;
    line["server"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_the_sessions_of_a_dead_server_move() {
    const SESSIONS: usize = 24;
    let mut servers = vec![origin().await, origin().await, origin().await];
    for server in &servers {
        server.answers_with(|request| {
            answer(200).header("x-request-id", request.header("x-request-id").unwrap()).body("{}")
        });
    }
    let gateway = spread(&servers).await;
    let mut homes = HashMap::new();
    for session in 0..SESSIONS {
        let home = server_of(&gateway, session, "header").await;
        assert_eq!(server_of(&gateway, session, "metadata").await, home, "one session, whichever way it is named");
        if session % 8 == 0 {
            assert_eq!(server_of(&gateway, session, "user").await, home, "a user stands in for a session");
        }
        homes.insert(session, home);
    }
    // by chance of its port a server may have half of them
    let sessions_of = |server: &Origin| homes.values().filter(|home| **home == server.address().to_string()).count();
    servers.sort_by_key(sessions_of);
    let fewest = servers.iter().position(|server| sessions_of(server) > 0).unwrap();
    assert!(sessions_of(&servers[fewest]) <= SESSIONS / 2, "{homes:?}");
    let dead = servers.remove(fewest).stop().await.to_string();
    for (session, home) in &homes {
        let now = server_of(&gateway, *session, "header").await;
        assert_eq!(now == *home, *home != dead, "session {session} was on {home} and is on {now}; {dead} is dead");
    }
}
