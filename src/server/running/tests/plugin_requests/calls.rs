//! Calls of clients that a plugin sends itself, and their records.

use super::*;

/// Sends every call itself, and gives what comes of it.
struct SendsItself(Arc<Common>);

impl Plugin for SendsItself {
    const NAME: &'static str = "sends_itself";
    const NEEDS: Needs = Needs { body: true, send: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), context: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self(context.common.clone()))
    }

    async fn on_send(&self, (): &mut (), call: &mut OutgoingCall<'_>) -> Flow {
        if call.call.text().starts_with(b"{\"model\":\"by\"") {
            return Flow::Continue;
        }
        assert!(call.headers.contains_key("x-kept") && !call.headers.contains_key("content-length"));
        let request = call.request(call.call.body().clone());
        let answered = async {
            let response = self.0.upstreams.send(request).await?;
            let (status, headers, sent) = (response.status, response.headers, response.sent);
            Ok(Reply::from_upstream(status, headers, response.body.whole(1000).await?, sent))
        };
        let (protocol, id) = (call.call.protocol(), call.context.id);
        answered.await.unwrap_or_else(|error| Reply::send_failed(protocol, &error, call.upstream, id)).into()
    }
}

/// What the record of a call says that matters here.
#[derive(Debug, PartialEq)]
struct Row {
    outcome: Outcome,
    status: Option<u16>,
    error: Option<&'static str>,
    upstream: Option<String>,
    server: Option<String>,
    attempts: u32,
    tokens: Option<u64>,
    request_id: Option<String>,
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Row>>>);

impl Plugin for Records {
    const NAME: &'static str = "records";
    const NEEDS: Needs = Needs { answer: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Ok(Self::default())
    }

    fn on_complete(&self, (): &mut (), record: &Record) {
        let tokens = record.answer.as_ref().and_then(|answer| answer.usage.as_ref()?.tokens.input);
        self.0.lock().unwrap().push(Row {
            outcome: record.outcome,
            status: record.status.map(|status| status.as_u16()),
            error: record.error,
            upstream: record.upstream.as_deref().map(str::to_owned),
            server: record.server.as_deref().map(str::to_owned),
            attempts: record.attempts,
            tokens,
            request_id: record.upstream_request_id.clone(),
        });
    }
}

/// An embedding call of a client, up to the end of its answer.
async fn embed(address: SocketAddr, model: &str) -> String {
    let body = format!("{{\"model\":\"{model}\",\"input\":\"a\"}}");
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_call_that_a_plugin_sent_is_as_if_the_gateway_had() {
    let mut server = Server::start().await;
    let upstreams = format!("a: {{ servers: [{{ address: {} }}] }}", server.address);
    let running = gateway(&upstreams);
    let (source, _) = configured(&upstreams);
    let Source::Text { text, .. } = source else { panic!() };
    for settings in ["", ", on_client_disconnect: drain"] {
        let text = text.replace("answer: { status: 204 }", &format!("upstream: a{settings}"));
        let config = Source::Text { name: "test", text: text.leak(), variables: Vec::new() }.load().unwrap();
        let records = Records::default();
        let mut snapshot = Snapshot::build(&config, "".as_ref(), &running.persistent, &running.metrics).unwrap();
        let sends = SendsItself(running.persistent.plugins.common().clone());
        let plugins = vec![PluginFactory::new(records.clone()), PluginFactory::new(sends)];
        Arc::get_mut(&mut snapshot.routes[0]).unwrap().chain = Chain::new(plugins);
        running.snapshot.store(Arc::new(snapshot));
        running.snapshot.load().activate();
        let address = running.listeners.addresses().next().unwrap();
        let answer =
            "{\"object\":\"list\",\"data\":[],\"model\":\"m\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}";
        let full = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r1\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        for model in ["m", "by"] {
            let calling = tokio::spawn(async move { embed(address, model).await });
            let asked = server.asked().await;
            assert!(has(&asked.head, "x-kept: 1"));
            asked.answer(&full).await;
            let got = calling.await.unwrap();
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(answer), "{got}");
            assert!(got.contains("x-request-id: r1\r\n"), "{got}");
        }
        // an error of the server, and a server that says nothing
        let calling = tokio::spawn(async move { embed(address, "m").await });
        server.asked().await.answer("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").await;
        assert!(calling.await.unwrap().starts_with("HTTP/1.1 400 Bad Request\r\n"));
        let mut calling = tokio::spawn(async move { embed(address, "m").await });
        let got = loop {
            tokio::select! {
                got = &mut calling => break got.unwrap(),
                // the first one came on a kept connection, which may have been closed before
                asked = server.asked() => drop(asked),
            }
        };
        assert!(got.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && got.contains("\"bad_gateway\""), "{got}");
        let until = Instant::now() + Duration::from_secs(10);
        while running.metrics.requests_in_flight() > 0 {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let row = |outcome, status, error, tokens, request_id: Option<&str>| Row {
            outcome,
            status: Some(status),
            error,
            upstream: Some("a".to_owned()),
            server: Some(server.address.to_string()),
            attempts: 1,
            tokens,
            request_id: request_id.map(str::to_owned),
        };
        let answered = || row(Outcome::Completed, 200, None, Some(7), Some("r1"));
        let refused = row(Outcome::Completed, 400, None, None, None);
        let failed = row(Outcome::UpstreamFailed, 502, Some("no_answer"), None, None);
        assert_eq!(*records.0.lock().unwrap(), [answered(), answered(), refused, failed], "{settings}");
    }
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[test]
fn a_failed_request_of_a_plugin_is_told_as_one_of_the_gateway() {
    let sent = Box::new(plugin_api::SentTo { error: Some("connect"), ..plugin_api::SentTo::nowhere("a".into()) });
    let failure = SendFailure {
        kind: ErrorKind::BadGateway,
        status: plugin_api::http::StatusCode::TOO_MANY_REQUESTS,
        message: "no",
        retry_after: Some(HeaderValue::from_static("7")),
        sent,
    };
    let protocol = plugin_api::Protocol::DEFAULT;
    let reply = Reply::send_failed(protocol, &SendError::Failed(failure.into()), &"a".into(), plugin_api::Uuid::nil());
    assert_eq!((reply.status.as_u16(), reply.outcome), (429, Outcome::UpstreamFailed));
    assert_eq!(reply.headers["retry-after"], "7");
    let reply = Reply::send_failed(protocol, &SendError::NoMemory, &"a".into(), plugin_api::Uuid::nil());
    assert_eq!((reply.status.as_u16(), reply.sent.unwrap().error), (503, Some("no_memory")));
}
