//! Posts alerts to their webhook, on a thread of its own: again and again until each is answered with a status of 2xx.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use http_client::HttpClient;
use log::{info, warn};
use plugin_api::LogLimit;
use tokio::time::{sleep, timeout};

use crate::alerts::{Alert, SharedAlerts};
use crate::shared::{Shared, unix_now};

/// How long a post may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed attempt, and the longest, to which it doubles.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often to look whether the process still has budgets.
const LOOK: Duration = Duration::from_secs(5);

/// Starts the thread. It ends with what it serves.
///
/// # Errors
/// That there is no thread to be had.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (alerts, shared) = (shared.alerts.clone(), Arc::downgrade(shared));
    thread::Builder::new().name("budget".into()).spawn(move || runtime.block_on(run(&alerts, &shared))).map(drop)
}

async fn run(alerts: &SharedAlerts, shared: &Weak<Shared>) {
    let (client, mut pause) = (HttpClient::new(), PAUSE);
    loop {
        // nothing is posted that a kill could forget
        alerts.save(unix_now());
        let Some(next) = alerts.next() else {
            let _ = timeout(LOOK, alerts.work.notified()).await;
            if shared.strong_count() == 0 {
                return;
            }
            continue;
        };
        match post(&client, shared, &next).await {
            Ok(()) => {
                alerts.done(&next);
                pause = PAUSE;
            }
            Err(why) => {
                static FAILED: LogLimit = LogLimit::new();
                if let Some(suppressed) = FAILED.pass(()) {
                    let waiting = alerts.waiting();
                    warn!(why, waiting, suppressed; "the webhook of the budgets takes no alert; they wait and are posted again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Posts an alert, if there is a place to post it to.
async fn post(client: &HttpClient, shared: &Weak<Shared>, alert: &Alert) -> Result<(), String> {
    let Some(url) = shared.upgrade().and_then(|shared| shared.webhook(&alert.limit)) else {
        info!(limit = alert.limit.as_str(); "an alert of a budget has no webhook any more");
        return Ok(());
    };
    let json = serde_json::to_vec(alert).map_err(|error| error.to_string())?;
    let status = client.post(url.uri(), json.into(), LIMIT).await.map_err(|why| format!("{}: {why}", url.host()))?;
    if status.is_success() { Ok(()) } else { Err(format!("{}: status {status}", url.host())) }
}
