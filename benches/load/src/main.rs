//! `load`: the origin behind the measured proxies, and the clients in front of them that `wrk` cannot be. Prints JSON, a line
//! for each figure; `benches/compare` reads it.

mod http;
mod origin;
mod percentiles;
mod random;
mod rate;
mod storm;
mod streams;

use std::error::Error;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Parser)]
enum Command {
    /// An API server that reads each call to its end and answers at once.
    Origin(origin::Settings),
    /// Calls at a fixed rate, whatever the answers take; prints their latency.
    Rate(rate::Settings),
    /// Open event streams; prints what they get.
    Streams(streams::Settings),
    /// Callers of every kind at random; writes down what became of each call.
    Storm(storm::Settings),
}

fn main() -> Result<(), Box<dyn Error>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    match Command::parse() {
        Command::Origin(settings) => origin::run(&settings),
        Command::Rate(settings) => rate::run(&settings),
        Command::Streams(settings) => streams::run(&settings),
        Command::Storm(settings) => storm::run(&settings),
    }
}
