//! A WebSocket as `OpenAI`'s Responses and Realtime speak it: a message asks for an answer, whose events are messages. One answer
//! after another; text alone.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use websocket::{CloseCode, End, Event, FrameReader, Opcode, Sender, write_close, write_frame};

use super::answer::Simulator;
use super::body::AnswerBody;
use super::call::Call;
use super::dialect::Dialect;
use super::failure::Failure;
use super::plan::{Abort, Plan};
use super::responses;

/// What is behind the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Responses,
    Realtime,
}

/// A connection that speaks in frames.
type Connection = TokioIo<hyper::upgrade::Upgraded>;

/// The key and the kind of the WebSocket that a request asks for.
pub(super) fn asked_for(request: &Request<Incoming>) -> Option<(Kind, HeaderValue)> {
    let kind = match request.uri().path() {
        "/v1/responses" => Kind::Responses,
        "/v1/realtime" => Kind::Realtime,
        _ => return None,
    };
    let upgrade = request.headers().get(UPGRADE)?;
    let is_websocket = *request.method() == Method::GET && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket");
    Some((kind, request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| is_websocket)?.clone()))
}

/// Accepts a WebSocket, and serves it on a task of its own.
pub(super) fn accept(
    simulator: Arc<Simulator>,
    kind: Kind,
    key: &HeaderValue,
    mut response: Response<AnswerBody>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let headers = request.headers().clone();
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => {
                let mut session = Session { simulator, kind, headers, connection: TokioIo::new(upgraded), messages: 0 };
                if let Err(error) = session.serve().await {
                    log::debug!("WebSocket ended: {error}");
                }
            }
            Err(error) => log::debug!("WebSocket not begun: {error}"),
        }
    });
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    let accept = STANDARD.encode(digest);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// One WebSocket.
struct Session {
    simulator: Arc<Simulator>,
    kind: Kind,
    headers: HeaderMap,
    connection: Connection,
    messages: u64,
}

impl Session {
    async fn serve(&mut self) -> io::Result<()> {
        let (mut reader, mut payload, mut is_control) = (FrameReader::new(Sender::Client), Vec::new(), false);
        let mut control = Vec::new();
        let mut room = vec![0; 16 << 10];
        loop {
            let count = self.connection.read(&mut room).await?;
            let mut rest = &room[..count];
            if rest.is_empty() {
                return Ok(());
            }
            loop {
                match reader.next(&mut rest) {
                    Ok(None) => break,
                    Ok(Some(Event::Frame(header))) => is_control = header.opcode.is_control(),
                    Ok(Some(Event::Payload(piece))) => {
                        piece.append_to(if is_control { &mut control } else { &mut payload });
                    }
                    Ok(Some(Event::End(End::Fragment))) => {}
                    Ok(Some(Event::End(End::Message(_)))) => self.answer(&std::mem::take(&mut payload)).await?,
                    Ok(Some(Event::End(End::Control(opcode)))) => {
                        let text = std::mem::take(&mut control);
                        match opcode {
                            Opcode::Ping => self.send(Opcode::Pong, &text).await?,
                            Opcode::Close => return self.send(Opcode::Close, &text).await,
                            _ => {}
                        }
                    }
                    Err(error) => {
                        let mut frame = Vec::new();
                        write_close(&mut frame, None, CloseCode::ProtocolError, &error.to_string());
                        return self.connection.write_all(&frame).await;
                    }
                }
            }
        }
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 16);
        write_frame(&mut frame, opcode, None, payload);
        self.connection.write_all(&frame).await?;
        self.connection.flush().await
    }

    /// Answers a message that asks for an answer; others change nothing here.
    async fn answer(&mut self, message: &[u8]) -> io::Result<()> {
        let read: Value = match serde_json::from_slice(message) {
            Ok(read) => read,
            Err(error) => return self.fail(&Failure::bad_request(format!("the message is no JSON: {error}"))).await,
        };
        if read["type"] != "response.create" {
            return Ok(());
        }
        self.messages += 1;
        let (number, in_flight) = self.simulator.begin();
        let mut plan = Plan::draw(self.simulator.settings(), number);
        if let Err(error) = plan.follow(&self.headers) {
            return self.fail(&Failure::bad_request(error)).await;
        }
        if let Some(status) = plan.refusal {
            return self.fail(&Failure::simulated(status)).await;
        }
        let nested = if read["response"].is_null() { "{}".to_owned() } else { read["response"].to_string() };
        let text = if self.kind == Kind::Realtime { nested.as_bytes() } else { message };
        let call = match Call::parse(text) {
            Ok(call) => call,
            Err(error) => return self.fail(&Failure::bad_request(format!("the message is no call: {error}"))).await,
        };
        sleep(plan.ttft).await;
        let sent = match self.kind {
            Kind::Responses => self.respond(&call, &plan).await?,
            Kind::Realtime => self.speak(&call, &plan).await?,
        };
        if sent {
            in_flight.complete();
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "broken off on purpose"))
    }

    /// The events of a response, each a message; `false` if it is to break off.
    async fn respond(&mut self, call: &Call<'_>, plan: &Plan) -> io::Result<bool> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // a future that holds it would be no one to send between threads: each event is made before it is sent
        let script = responses::stream(call, plan, now.as_secs());
        let mut token = Vec::new();
        self.events(&script.head).await?;
        let tokens = if plan.abort.is_some() { script.tokens / 2 } else { script.tokens };
        for index in 0..tokens {
            if index > 0 && !plan.token_gap.is_zero() {
                sleep(plan.token_gap).await;
            }
            token.clear();
            (script.token)(&mut token, index);
            self.events(&token).await?;
        }
        if plan.abort.is_some() {
            return Ok(false);
        }
        self.events(&script.tail).await?;
        Ok(true)
    }

    /// Sends events of a stream as messages.
    async fn events(&mut self, events: &[u8]) -> io::Result<()> {
        let mut frames = Vec::with_capacity(events.len());
        for line in events.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data: ") {
                write_frame(&mut frames, Opcode::Text, None, data);
            }
        }
        self.connection.write_all(&frames).await?;
        self.connection.flush().await
    }

    /// An answer of a session, in outline; `false` if it is to break off.
    async fn speak(&mut self, call: &Call<'_>, plan: &Plan) -> io::Result<bool> {
        let output = call.output(plan.tokens);
        let (id, number) = (plan.draws.id("resp_"), self.messages);
        let created = json!({ "type": "response.created", "event_id": format!("event_{number}"),
            "response": { "id": id, "object": "realtime.response", "status": "in_progress", "usage": null } });
        self.send(Opcode::Text, created.to_string().as_bytes()).await?;
        for index in 0..if plan.abort == Some(Abort::Midway) { output.tokens / 2 } else { output.tokens } {
            if index > 0 && !plan.token_gap.is_zero() {
                sleep(plan.token_gap).await;
            }
            let delta = json!({ "type": "response.output_text.delta", "response_id": id, "delta": "word " });
            self.send(Opcode::Text, delta.to_string().as_bytes()).await?;
        }
        if plan.abort.is_some() {
            return Ok(false);
        }
        let (input, status) = (call.input_tokens(), if output.cut { "incomplete" } else { "completed" });
        let done = json!({ "type": "response.done", "event_id": format!("event_{number}_done"), "response": {
            "id": id, "object": "realtime.response", "status": status,
            "status_details": { "type": status, "reason": if output.cut { "max_output_tokens".into() } else { Value::Null } },
            "usage": { "total_tokens": input + output.tokens, "input_tokens": input, "output_tokens": output.tokens,
                "input_token_details": { "text_tokens": input, "audio_tokens": 0, "cached_tokens": 0 },
                "output_token_details": { "text_tokens": output.tokens, "audio_tokens": 0 } } } });
        self.send(Opcode::Text, done.to_string().as_bytes()).await?;
        Ok(true)
    }

    /// Sends an error event.
    async fn fail(&mut self, failure: &Failure) -> io::Result<()> {
        let mut event: Value = serde_json::from_slice(&failure.body(Dialect::OpenAi, "")).unwrap_or_default();
        event["type"] = "error".into();
        event["status"] = failure.status.as_u16().into();
        self.send(Opcode::Text, event.to_string().as_bytes()).await
    }
}
