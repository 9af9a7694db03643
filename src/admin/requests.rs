//! The endpoints of the admin listener.

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use located_yaml::{ConfigErrors, Diagnostic};
use plugin_api::{AdminBody, AdminRequest, AdminRoute};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Admin;
use super::answer::{self, Answer};
use super::dashboard;
use super::guard::{self, Forbidden};
use super::readiness::State;
use super::upstreams::UpstreamSeen;

/// Answers a request.
pub(super) async fn answer(request: Request<Incoming>, admin: &Admin) -> Answer {
    // its pages ask for the token in a form
    if dashboard::has_path(request.uri().path()) {
        return dashboard::answer(request, admin).await;
    }
    let request = &request;
    let method = request.method();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let admitted = guard::admit(request, &admin.known_host, (admin.token)().as_ref());
    match request.uri().path() {
        // probes pass the guard: they carry neither a host that it knows nor a token, and see a state and no names
        "/healthz" if reads => return answer::text(StatusCode::OK, "ok"),
        "/readyz" if reads => return readyz(admin, admitted.is_ok()),
        _ => {}
    }
    match admitted {
        Ok(()) => {}
        Err(forbidden @ Forbidden::Token) => return answer::unauthorized(forbidden.message()),
        Err(forbidden) => return answer::error(StatusCode::FORBIDDEN, "forbidden", forbidden.message()),
    }
    match request.uri().path() {
        "/metrics" if reads => metrics(admin),
        "/upstreams" if reads => upstreams(admin),
        "/config" if reads => answer::json(StatusCode::OK, &(admin.config)()),
        "/reload" if *method == Method::POST => reload(admin).await,
        "/healthz" | "/readyz" | "/metrics" | "/upstreams" | "/config" => answer::not_allowed(method, "GET, HEAD"),
        "/reload" => answer::not_allowed(method, "POST"),
        _ => of_plugin(request, &admin.plugins).await,
    }
}

/// Passes a request to the plugin that has its path.
pub(super) async fn of_plugin<B>(request: &Request<B>, routes: &[AdminRoute]) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    let routes = || routes.iter().filter(|route| route.path == path);
    if let Some(route) = routes().find(|route| route.method == *method) {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let answered = (route.handler)(AdminRequest { query }).await;
        return match answered.body {
            AdminBody::Json(body) => answer::json(answered.status, &body),
            AdminBody::File { name, content_type, text } => answer::file(answered.status, name, content_type, text),
        };
    }
    let methods: Vec<&str> = routes().map(|route| route.method.as_str()).collect();
    if methods.is_empty() { answer::not_found(path) } else { answer::not_allowed(method, &methods.join(", ")) }
}

fn readyz(admin: &Admin, shows_names: bool) -> Answer {
    match admin.readiness.state() {
        State::Starting => {
            let waiting = if shows_names { (admin.waiting_for)() } else { Vec::new() };
            let waiting: String = waiting.iter().map(|what| format!("\nwaits for {what}")).collect();
            answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("starting{waiting}"))
        }
        State::Ready => answer::text(StatusCode::OK, "ready"),
        State::Draining => answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining"),
    }
}

fn metrics(admin: &Admin) -> Answer {
    let seen = (admin.upstreams)();
    let upstreams: Vec<_> = seen.iter().filter_map(UpstreamSeen::figures).collect();
    let servers: Vec<_> = seen.iter().flat_map(UpstreamSeen::server_figures).collect();
    answer::prometheus(admin.metrics.render(&upstreams, &servers))
}

fn upstreams(admin: &Admin) -> Answer {
    answer::json(StatusCode::OK, &json!({ "upstreams": (admin.upstreams)() }))
}

async fn reload(admin: &Admin) -> Answer {
    let reloaded = async {
        let (request, result) = oneshot::channel();
        admin.reload.send(request).await.ok()?;
        result.await.ok()
    };
    // a stopping gateway no longer receives reload requests
    let result = tokio::select! {
        biased;
        result = reloaded => result,
        () = admin.readiness.draining() => None,
    };
    match result {
        Some(Ok(())) => answer::json(StatusCode::OK, &json!({ "reloaded": true })),
        Some(Err(errors)) => answer::json(StatusCode::BAD_REQUEST, &not_reloaded(&errors)),
        None => answer::error(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping"),
    }
}

fn not_reloaded(errors: &ConfigErrors) -> Value {
    json!({ "reloaded": false, "errors": errors.iter().map(config_error).collect::<Vec<_>>() })
}

fn config_error(error: &Diagnostic) -> Value {
    json!({
        "file": error.file(),
        "line": error.location.line,
        "column": error.location.column,
        "path": error.path,
        "message": error.message,
        "text": error.to_string(),
    })
}
