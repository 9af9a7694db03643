//! `tollgate demo`: a gateway before three simulated upstreams, with a few things to try.

use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plugin_api::{Period, Uuid};

use crate::server::{self, Source, StartError, Started};
use crate::simulate;

const NAME: &str = "conf/demo.yaml";
const CONFIG: &str = include_str!("../conf/demo.yaml");
/// Slow enough to watch a stream arrive.
const TTFT: Period = Period::from_millis(200);
const TOKEN_GAP: Period = Period::from_millis(50);
/// An answer in one piece comes sooner: load tests want many of them.
const WHOLE_AFTER: Period = Period::from_millis(50);
/// Providers take minutes.
const BATCH_AFTER: Period = Period::from_millis(2_000);

/// The arguments of the demo.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoSettings {
    /// The gateway's port on the loopback; 0 lets the system choose.
    #[arg(long, default_value_t = 3000)]
    pub port: u16,
    /// The admin listener's port; 0 lets the system choose.
    #[arg(long, default_value_t = 9090)]
    pub admin_port: u16,
    /// The ledger's database. By default a file that is removed with the demo.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

/// A private folder with an unpredictable name. It is removed with the demo.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        // 74 bits of the name are random, and the folder must not exist before
        let path = std::env::temp_dir().join(format!("tollgate-demo-{}", Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // what cannot be removed is private
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the demo until a signal stops it.
///
/// # Errors
/// What keeps it from starting: a port that is taken, above all.
pub fn run(settings: &DemoSettings) -> Result<ExitCode, StartError> {
    let simulators = [simulator(1)?, simulator(2)?, simulator(3)?];
    let folder = Folder::create()?;
    let own = || format!("sqlite://{}", folder.0.join("demo.db").display());
    let database = settings.database.clone().unwrap_or_else(own);
    // for commands that read it, wherever they are typed
    let file = folder.0.join("demo.yaml");
    fs::write(&file, CONFIG)?;
    let mut variables = vec![
        ("DEMO_PORT", settings.port.to_string()),
        ("DEMO_ADMIN_PORT", settings.admin_port.to_string()),
        ("DEMO_DATABASE", database.clone()),
        ("DEMO_BATCHES", folder.0.join("batches").display().to_string()),
    ];
    variables.extend(["DEMO_A", "DEMO_B", "DEMO_C"].into_iter().zip(simulators.iter().map(SocketAddr::to_string)));
    server::run(Source::Text { name: NAME, text: CONFIG, variables }, move |started| {
        welcome(started, &simulators, &database, &file);
    })
}

/// Starts a simulator on a thread of its own; it ends with the process.
fn simulator(seed: u64) -> io::Result<SocketAddr> {
    let listener = simulate::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = simulate::Settings {
        seed,
        ttft: TTFT,
        token_gap: TOKEN_GAP,
        whole_after: Some(WHOLE_AFTER),
        batch_after: BATCH_AFTER,
        ..simulate::Settings::default()
    };
    std::thread::Builder::new()
        .name("simulator".into())
        .spawn(move || runtime.block_on(simulate::serve(listener, settings)))?;
    Ok(address)
}

fn welcome(started: &Started, simulators: &[SocketAddr; 3], database: &str, file: &Path) {
    if started.listeners.is_empty() {
        return; // the admin listener alone, taken over from an earlier demo
    }
    let gateway = started.listeners.first().map_or_else(String::new, SocketAddr::to_string);
    let port = started.listeners.first().map_or(0, SocketAddr::port);
    let program = std::env::current_exe().map_or_else(|_| "tollgate".into(), |path| quoted(path.display()));
    let (database, file) = (quoted(database), quoted(file.display()));
    let admin = started.admin.map_or_else(String::new, |address| address.to_string());
    let [a, b, c] = simulators;
    // a closed standard output does not matter
    let _ = writeln!(
        io::stdout(),
        r#"listening on {gateway}

Tollgate stands before three simulated upstreams: {a} (weight 3), {b} (weight 2), {c} (weight 1).

1. A call, and who answered it. Repeat it: the answers come 3:2:1.
   curl -si http://{gateway}/v1/messages -H 'content-type: application/json' \
     -d '{{"model":"claude-demo","max_tokens":64,"messages":[{{"role":"user","content":"Hello"}}]}}'

2. A stream: each event leaves as it arrives.
   curl -sN http://{gateway}/v1/chat/completions -H 'content-type: application/json' \
     -d '{{"model":"gpt-demo","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'

3. A call over the limit of 4000 tokens: refused before it costs anything.
   curl -si http://{gateway}/v1/messages -H 'content-type: application/json' \
     -d '{{"model":"claude-demo","max_tokens":5000,"messages":[{{"role":"user","content":"Hello"}}]}}'

4. The same call twice: `x-cache: MISS`, then at once `x-cache: HIT`.
   curl -si http://cached.localhost:{port}/v1/messages -H 'content-type: application/json' \
     -d '{{"model":"claude-demo","max_tokens":64,"messages":[{{"role":"user","content":"Again"}}]}}'

5. A call that can wait, at half the price: it is answered by a batch, some seconds later.
   curl -si http://batched.localhost:{port}/v1/messages -H 'content-type: application/json' \
     -H 'x-tollgate-batch: 10m' \
     -d '{{"model":"claude-demo","max_tokens":64,"messages":[{{"role":"user","content":"No hurry"}}]}}'

6. Who spent what: every request above is a row of the ledger.
   DEMO_DATABASE={database} {program} usage -c {file} --by outcome

The dashboard, where calls appear within a second: http://{admin}/dashboard

Where to look: http://{admin}/metrics, http://{admin}/upstreams, and the line that every request leaves below.
"#
    );
}

/// A text as a word of a shell.
fn quoted(text: impl Display) -> String {
    format!("'{}'", text.to_string().replace('\'', r"'\''"))
}
