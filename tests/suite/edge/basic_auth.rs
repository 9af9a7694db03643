//! The plugin `basic_auth`, with the file that nginx's `auth_basic_user_file` reads.

use std::fs;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{RawAnswer, connect, eventually, gateway, h2c, nginx_with_files, origin};

/// One user for each form that nginx reads too; the password of all is `password`.
pub const USERS: &str = "# team\nalice:$apr1$zAbOclVq$1DnEDWuFnIIUEX/MF4UrH0\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=:note\n\
    carol:{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0\n\
    dave:$6$saltsaltsaltsalt$bcXJ8qxwY5sQ4v8MTl.0B1jeZ0z0JlA9jjmbUoCJZ.1wYXiLTU.q2ILyrDJLm890lyfuF7sWAeli0yjOyFPkf0\n\
    erin:$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.\n\
    frank:$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu\n";

async fn get(proxy: SocketAddr, authorization: &str) -> RawAnswer {
    let mut client = connect(proxy).await;
    let line = if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n")).await;
    client.answer().await
}

/// The credentials of a user, as a client sends them.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[tokio::test]
async fn who_nginx_lets_in_is_let_in() {
    let origin = origin().await;
    let settings = "plugins: [{ basic_auth: { file: users, realm: LLM } }]";
    let gateway = gateway().upstream(&origin).file("users", USERS).settings(settings).start().await;
    let location = format!(
        "location / {{ auth_basic LLM; auth_basic_user_file {{at}}/users; proxy_pass http://{}; }}",
        origin.server()
    );
    let nginx = nginx_with_files("", &location, &[("users", USERS)]).await;
    for name in ["alice", "bob", "carol", "dave", "erin", "frank", "nobody", "# team", ""] {
        for password in ["password", "passwore", "", "password\n"] {
            let (here, there) = (
                get(gateway.address(), &basic(name, password)).await,
                get(nginx.address(), &basic(name, password)).await,
            );
            assert_eq!(here.status, there.status, "{name} {password:?}");
            assert_eq!(
                here.status == 200,
                password == "password" && name.len() > 2 && !["nobody", "# team"].contains(&name)
            );
        }
    }
    for authorization in ["", "Bearer sk-1", "Basic ???"] {
        let answer = get(gateway.address(), authorization).await;
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"LLM\", charset=\"UTF-8\""));
    }
}

#[tokio::test]
async fn the_name_goes_on_and_the_password_does_not() {
    let origin = origin().await;
    let basic_auth = "- basic_auth: { file: users }\n";
    let headers = "- headers: { request: { set: { X-User: $remote_user } } }\n";
    let builder = || gateway().upstream(&origin).file("users", USERS);
    let own = builder().settings(&format!("plugins:\n{basic_auth}{headers}")).start().await;
    let forwarding = basic_auth.replace("users }", "users, forward_credentials: true }");
    let forwarding = builder().settings(&format!("plugins:\n{headers}{forwarding}")).start().await;
    let of_route = builder().settings(&format!("plugins:\n{basic_auth}"));
    let of_route = of_route.route_settings(&format!("plugins:\n{headers}")).start().await;
    for (number, (gateway, wanted)) in
        [(&own, None), (&forwarding, Some(basic("alice", "password"))), (&of_route, None)].into_iter().enumerate()
    {
        assert_eq!(get(gateway.address(), &basic("alice", "password")).await.status, 200);
        let seen = origin.request(number).await;
        assert_eq!((seen.header("x-user"), seen.header("authorization")), (Some("alice"), wanted.as_deref()));
    }
    let line = own.logged(|line| line["status"] == 200).await;
    assert_eq!(line["key_name"], "alice");
    let mut client = h2c(own.address()).await;
    let request = client.request("GET", "/").header("authorization", basic("bob", "password"));
    assert_eq!(client.call(request.body(crate::harness::body("")).unwrap()).await.status, 200);
}

#[tokio::test]
async fn credentials_that_headers_sets_take_the_place_of_the_callers() {
    let origin = origin().await;
    let headers = "- headers: { request: { set: { Authorization: Basic dXBzdHJlYW0= } } }\n";
    let basic_auth = "- basic_auth: { file: users }\n";
    for (number, plugins) in [format!("{headers}{basic_auth}"), format!("{basic_auth}{headers}")].iter().enumerate() {
        let settings = format!("plugins:\n{plugins}");
        let gateway = gateway().upstream(&origin).file("users", USERS).settings(&settings).start().await;
        assert_eq!(get(gateway.address(), &basic("alice", "password")).await.status, 200);
        assert_eq!(origin.request(number).await.all("authorization"), [b"Basic dXBzdHJlYW0="]);
    }
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_a_broken_one_keeps_the_users() {
    let origin = origin().await;
    let settings = "plugins: [{ basic_auth: { file: users } }]";
    let gateway = gateway().upstream(&origin).file("users", USERS).settings(settings).start().await;
    assert_eq!(get(gateway.address(), &basic("alice", "password")).await.status, 200);
    let path = gateway.folder().join("users");
    fs::write(&path, USERS.replace("alice:", "zoe:")).unwrap();
    eventually("the new user", async || get(gateway.address(), &basic("zoe", "password")).await.status == 200).await;
    assert_eq!(get(gateway.address(), &basic("alice", "password")).await.status, 401, "what was right before is not");
    fs::write(&path, "zoe:plain-secret\n").unwrap();
    let told = gateway.says("users cannot be read again").await;
    assert!(told.contains("users:1:") && !told.contains("plain-secret"), "{told}");
    assert_eq!(get(gateway.address(), &basic("zoe", "password")).await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_absent_or_broken_keeps_a_gateway_from_starting() {
    let origin = origin().await;
    let settings = "plugins: [{ basic_auth: { file: users } }]";
    let exit = gateway().upstream(&origin).settings(settings).start_fails().await;
    assert!(exit.stderr.contains("cannot be read: No such file"), "{}", exit.stderr);
    let exit = gateway().upstream(&origin).file("users", "a:b\n").settings(settings).start_fails().await;
    assert!(exit.stderr.contains("users:1: the password of `a` is not in a form that is known"), "{}", exit.stderr);
}
