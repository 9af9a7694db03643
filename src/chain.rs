//! Runs the plugins of a route: their order, their early answers, their panics. Knows none of them by name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use log::error;
use plugin_api::{BatchResult, Chunk, Flow, LogLimit, ModelCall, Plugin, Record, Reply, RequestHead, ResponseHead};

/// The plugins of a route, top to bottom.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Arc<[Installed]>,
    needs: Needs,
}

/// What the plugins of a route need done for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The request's body read.
    pub body: bool,
    /// The answers to calls read as they pass.
    pub answer: bool,
    /// Calls placed in conversations.
    pub thread: bool,
    /// Calls that may go on without their client.
    pub outlive: bool,
}

impl Chain {
    /// A chain of these, top to bottom.
    #[must_use]
    pub fn new(plugins: Vec<Installed>) -> Self {
        let any = |need: fn(&Needs) -> bool| plugins.iter().any(|plugin| need(&plugin.needs));
        let needs = Needs {
            body: any(|needs| needs.body),
            answer: any(|needs| needs.answer),
            thread: any(|needs| needs.thread),
            outlive: any(|needs| needs.outlive),
        };
        Self { needs, plugins: plugins.into() }
    }

    /// Whether there is no plugin in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// What any of its plugins needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Tells its plugins that their configuration is in force.
    pub fn in_force(&self) {
        self.plugins.iter().for_each(|plugin| (plugin.in_force)());
    }

    /// Fresh seats for one exchange; they cost nothing if there are no plugins.
    #[must_use]
    pub fn seat(&self) -> Seats {
        Seats { seats: self.plugins.iter().map(|plugin| (plugin.seat)()).collect(), joined: 0 }
    }
}

/// A plugin ready to take part in any number of exchanges.
#[derive(Clone)]
pub struct Installed {
    seat: Arc<dyn Fn() -> Box<dyn Seat> + Send + Sync>,
    in_force: Arc<dyn Fn() + Send + Sync>,
    needs: Needs,
}

impl Installed {
    /// Installs a plugin.
    #[must_use]
    pub fn new<P: Plugin>(plugin: P) -> Self {
        let plugin = Arc::new(plugin);
        let told = plugin.clone();
        let seat = move || -> Box<dyn Seat> { Box::new(Seated { plugin: plugin.clone(), state: P::State::default() }) };
        let needs =
            Needs { body: P::READS_BODY, answer: P::READS_ANSWER, thread: P::FOLLOWS_THREADS, outlive: P::OUTLIVES };
        Self { seat: Arc::new(seat), in_force: Arc::new(move || told.in_force()), needs }
    }
}

/// What stops a chain before its end.
#[derive(Debug)]
pub enum Stop {
    /// A plugin answered.
    Answer(Box<Reply>),
    /// A plugin panicked; its name.
    Panic(&'static str),
}

/// The plugins of one exchange, each with its state.
#[derive(Default)]
pub struct Seats {
    seats: Vec<Box<dyn Seat>>,
    // how many have seen the request; only those see the response
    joined: usize,
}

impl Seats {
    /// Runs `request_head`, top to bottom, to the first that answers.
    ///
    /// # Errors
    /// The early answer, or the panic.
    pub async fn request_head(&mut self, head: &mut RequestHead<'_>) -> Result<(), Stop> {
        for seat in &mut self.seats {
            self.joined += 1;
            proceed(seat.name(), guarded(seat.name(), seat.request_head(head)).await)?;
        }
        Ok(())
    }

    /// Runs `request_body` of those that read bodies, top to bottom, to the first that answers.
    ///
    /// # Errors
    /// The early answer, or the panic.
    pub async fn request_body(&mut self, call: &mut ModelCall) -> Result<(), Stop> {
        for at in 0..self.seats.len() {
            let seat = &mut self.seats[at];
            if seat.reads_body() {
                let flow = guarded(seat.name(), seat.request_body(call)).await;
                if let Err(stop) = proceed(seat.name(), flow) {
                    self.joined = at + 1;
                    return Err(stop);
                }
            }
        }
        Ok(())
    }

    /// Runs `response_head` of those that joined, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub async fn response_head(&mut self, head: &mut ResponseHead<'_>) -> Result<(), &'static str> {
        for seat in self.seats[..self.joined].iter_mut().rev() {
            guarded(seat.name(), seat.response_head(head)).await.ok_or(seat.name())?;
        }
        Ok(())
    }

    /// Runs `response_chunk` of those that joined, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub fn response_chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), &'static str> {
        for seat in self.seats[..self.joined].iter_mut().rev() {
            let ran = catch_unwind(AssertUnwindSafe(|| seat.response_chunk(chunk)));
            ran.map_err(|_| told_of_panic(seat.name()))?;
        }
        Ok(())
    }

    /// Runs `batch_result` of those that joined, bottom to top.
    ///
    /// # Errors
    /// The name of the plugin that panicked.
    pub fn batch_result(&mut self, record: &Record, result: &BatchResult) -> Result<(), &'static str> {
        for seat in self.seats[..self.joined].iter_mut().rev() {
            let ran = catch_unwind(AssertUnwindSafe(|| seat.batch_result(record, result)));
            ran.map_err(|_| told_of_panic(seat.name()))?;
        }
        Ok(())
    }

    /// Runs `ending` of all, top to bottom; one that panics keeps none of the others from it.
    pub fn ending(&mut self, record: &Record) {
        for seat in &mut self.seats {
            if catch_unwind(AssertUnwindSafe(|| seat.ending(record))).is_err() {
                told_of_panic(seat.name());
            }
        }
    }

    /// Runs `log` of all, top to bottom; one that panics keeps none of the others from it.
    pub fn log(&mut self, record: &Record) {
        for seat in &mut self.seats {
            if catch_unwind(AssertUnwindSafe(|| seat.log(record))).is_err() {
                told_of_panic(seat.name());
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }
}

/// A plugin's seat in one exchange: the shared plugin and its state, seen without their types.
#[async_trait]
trait Seat: Send + Sync {
    fn name(&self) -> &'static str;
    fn reads_body(&self) -> bool;
    async fn request_head(&mut self, head: &mut RequestHead<'_>) -> Flow;
    async fn request_body(&mut self, call: &mut ModelCall) -> Flow;
    async fn response_head(&mut self, head: &mut ResponseHead<'_>);
    fn response_chunk(&mut self, chunk: &Chunk<'_>);
    fn batch_result(&mut self, record: &Record, result: &BatchResult);
    fn ending(&mut self, record: &Record);
    fn log(&mut self, record: &Record);
}

struct Seated<P: Plugin> {
    plugin: Arc<P>,
    state: P::State,
}

#[async_trait]
impl<P: Plugin> Seat for Seated<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn reads_body(&self) -> bool {
        P::READS_BODY
    }

    async fn request_head(&mut self, head: &mut RequestHead<'_>) -> Flow {
        self.plugin.request_head(&mut self.state, head).await
    }

    async fn request_body(&mut self, call: &mut ModelCall) -> Flow {
        self.plugin.request_body(&mut self.state, call).await
    }

    async fn response_head(&mut self, head: &mut ResponseHead<'_>) {
        self.plugin.response_head(&mut self.state, head).await;
    }

    fn response_chunk(&mut self, chunk: &Chunk<'_>) {
        self.plugin.response_chunk(&mut self.state, chunk);
    }

    fn batch_result(&mut self, record: &Record, result: &BatchResult) {
        self.plugin.batch_result(&mut self.state, record, result);
    }

    fn ending(&mut self, record: &Record) {
        self.plugin.ending(&mut self.state, record);
    }

    fn log(&mut self, record: &Record) {
        self.plugin.log(&mut self.state, record);
    }
}

/// The phase's result; `None` if it panicked.
async fn guarded<T>(plugin: &'static str, phase: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(phase).catch_unwind().await {
        Ok(result) => Some(result),
        Err(_) => {
            told_of_panic(plugin);
            None
        }
    }
}

fn proceed(plugin: &'static str, flow: Option<Flow>) -> Result<(), Stop> {
    match flow {
        Some(Flow::Continue) => Ok(()),
        Some(Flow::Answer(reply)) => Err(Stop::Answer(Box::new(reply))),
        None => Err(Stop::Panic(plugin)),
    }
}

fn told_of_panic(plugin: &'static str) -> &'static str {
    static PANICS: LogLimit<&str> = LogLimit::new();
    if let Some(suppressed) = PANICS.pass(plugin) {
        error!(plugin, suppressed; "plugin panicked; its request fails, the others go on");
    }
    plugin
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use plugin_api::http::{HeaderMap, Method, StatusCode, Uri};
    use plugin_api::{Dialect, HeaderEdits, Uuid};

    use super::*;

    /// Writes down which of its phases ran; one that `answers` ends the request.
    struct Witness {
        name: &'static str,
        answers: bool,
        seen: Arc<Mutex<Vec<String>>>,
    }

    impl Witness {
        fn saw(&self, phase: &str) {
            self.seen.lock().unwrap().push(format!("{} {phase}", self.name));
        }
    }

    #[async_trait]
    impl Plugin for Witness {
        const NAME: &'static str = "witness";
        type State = ();

        async fn request_head(&self, (): &mut (), _: &mut RequestHead<'_>) -> Flow {
            self.saw("request");
            if self.answers { Flow::Answer(Reply::json(StatusCode::OK, "{}")) } else { Flow::Continue }
        }

        async fn response_head(&self, (): &mut (), _: &mut ResponseHead<'_>) {
            self.saw("response");
        }
    }

    async fn run(answering: Option<&str>) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let witness = |name| Witness { name, answers: answering == Some(name), seen: seen.clone() };
        let chain = Chain::new(["a", "b", "c"].map(|name| Installed::new(witness(name))).into());
        let mut seats = chain.seat();
        let (uri, headers) = (Uri::from_static("/"), HeaderMap::new());
        let mut head = RequestHead {
            id: Uuid::nil(),
            method: &Method::GET,
            uri: &uri,
            headers: &headers,
            host: "",
            upstream: "",
            client: None,
            endpoint: None,
            dialect: Dialect::OpenAi,
            edits: HeaderEdits::default(),
        };
        assert_eq!(seats.request_head(&mut head).await.is_err(), answering.is_some());
        let mut head = ResponseHead { status: StatusCode::OK, headers: &headers, edits: HeaderEdits::default() };
        seats.response_head(&mut head).await.unwrap();
        std::mem::take(&mut seen.lock().unwrap())
    }

    #[tokio::test]
    async fn requests_run_top_to_bottom_and_responses_bottom_to_top() {
        assert_eq!(run(None).await, ["a request", "b request", "c request", "c response", "b response", "a response"]);
    }

    #[tokio::test]
    async fn an_early_answer_skips_those_below() {
        assert_eq!(run(Some("b")).await, ["a request", "b request", "b response", "a response"]);
    }
}
