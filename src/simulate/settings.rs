//! What the command line of `tollgate simulate` sets.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use http::StatusCode;
use plugin_api::Period;

use super::values::{self, Rate};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3001);
const NO_DELAY: Period = Period::from_secs(0);
const TOKENS: u64 = 16;
const SEED: u64 = 1;
const BATCH_AFTER: Period = Period::from_secs(5);

/// How a simulated upstream behaves.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address and port to listen at; port 0 lets the system choose one.
    #[arg(long, value_name = "ADDR", default_value_t = LISTEN)]
    pub listen: SocketAddr,
    /// Time from the request to the first byte of the answer, like `250ms`.
    #[arg(long, value_name = "DURATION", default_value_t = NO_DELAY)]
    pub ttft: Period,
    /// Time between one token and the next. An answer without a stream takes as long as its stream would.
    #[arg(long, value_name = "DURATION", default_value_t = NO_DELAY)]
    pub token_gap: Period,
    /// Time until an answer without a stream, where it does not take as long as its stream would.
    #[arg(long, value_name = "DURATION")]
    pub whole_after: Option<Period>,
    /// Output tokens of an answer, up to 1000000; fewer if the request's own limit is lower.
    #[arg(long, value_name = "N", default_value_t = TOKENS, value_parser = values::tokens)]
    pub tokens: u64,
    /// Share of the calls, from 0 to 1, that are refused with `--error-status`.
    #[arg(long, value_name = "SHARE", default_value_t = Rate::NEVER)]
    pub error_rate: Rate,
    /// Status of the calls that are refused, from 400 to 599.
    #[arg(long, value_name = "CODE", default_value = "529", value_parser = values::error_status)]
    pub error_status: StatusCode,
    /// Share of the calls, from 0 to 1, whose connection breaks in the middle of the answer.
    #[arg(long, value_name = "SHARE", default_value_t = Rate::NEVER)]
    pub abort_rate: Rate,
    /// Time until a batch ends.
    #[arg(long, value_name = "DURATION", default_value_t = BATCH_AFTER)]
    pub batch_after: Period,
    /// Share of the requests of batches, from 0 to 1, that fail with `--error-status`.
    #[arg(long, value_name = "SHARE", default_value_t = Rate::NEVER)]
    pub batch_error_rate: Rate,
    /// Share of the requests of batches, from 0 to 1, that expire.
    #[arg(long, value_name = "SHARE", default_value_t = Rate::NEVER)]
    pub batch_expiry_rate: Rate,
    /// Seed of the words, ids, refusals and breaks: the n-th call to a simulator with the same seed gets the same ones.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,
    /// Threads that serve; as many as there are cores if absent.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            ttft: NO_DELAY,
            token_gap: NO_DELAY,
            whole_after: None,
            tokens: TOKENS,
            error_rate: Rate::NEVER,
            error_status: values::OVERLOADED,
            abort_rate: Rate::NEVER,
            batch_after: BATCH_AFTER,
            batch_error_rate: Rate::NEVER,
            batch_expiry_rate: Rate::NEVER,
            seed: SEED,
            threads: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(arguments: &str) -> Result<Settings, String> {
        let arguments = std::iter::once("simulate").chain(arguments.split_whitespace());
        Command::try_parse_from(arguments).map(|command| command.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn no_argument_means_the_defaults() {
        assert_eq!(format!("{:?}", parse("").unwrap()), format!("{:?}", Settings::default()));
    }

    #[test]
    fn every_argument_is_read_as_people_write_it() {
        let settings = parse(
            "--listen 127.0.0.1:0 --ttft 250ms --token-gap 20ms --whole-after 50ms --tokens 100 --error-rate 0.1 --error-status 503 --abort-rate 1 \
             --seed 7 --threads 2",
        )
        .unwrap();
        assert_eq!(settings.listen.port(), 0);
        assert_eq!(settings.ttft.get(), Duration::from_millis(250));
        assert_eq!(settings.token_gap.get(), Duration::from_millis(20));
        assert_eq!(settings.whole_after.unwrap().get(), Duration::from_millis(50));
        assert_eq!((settings.tokens, settings.seed), (100, 7));
        assert_eq!(settings.error_status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(settings.threads.unwrap().get(), 2);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_was_wanted() {
        assert!(parse("--error-rate 2").unwrap_err().contains("from 0 to 1"));
        assert!(parse("--abort-rate NaN").unwrap_err().contains("from 0 to 1"));
        assert!(parse("--error-status 200").unwrap_err().contains("from 400 to 599"));
        assert!(parse("--tokens 1000001").unwrap_err().contains("from 0 to 1000000"));
        assert!(parse("--ttft soon").unwrap_err().contains("not a span of time"));
    }
}
