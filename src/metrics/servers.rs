//! What is in flight on each server, as told before each scrape; forgets servers that are not spoken of any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntGauge, Opts, Registry};

const NAME: &str = "tollgate_upstream_in_flight";
const HELP: &str = "Requests that a server has and has not answered to the last byte";

/// The servers, by upstream and address.
#[derive(Debug)]
pub(super) struct Servers {
    registry: Registry,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    servers: HashMap<(String, String), Server>,
    scrapes: u64,
}

#[derive(Debug)]
struct Server {
    in_flight: IntGauge,
    /// The scrape before which it was last spoken of.
    spoken_of: u64,
}

impl Servers {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, known: Mutex::default() }
    }

    pub(super) fn set(&self, upstream: &str, server: &str, requests: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let scrapes = known.scrapes;
        let key = (upstream.to_owned(), server.to_owned());
        let found = match known.servers.get_mut(&key) {
            Some(found) => found,
            None => match self.new_gauge(upstream, server) {
                Ok(in_flight) => known.servers.entry(key).or_insert(Server { in_flight, spoken_of: scrapes }),
                Err(error) => {
                    log::error!(upstream, server, error:%; "a server's metric cannot be made");
                    return;
                }
            },
        };
        found.spoken_of = scrapes;
        found.in_flight.set(i64::try_from(requests).unwrap_or(i64::MAX));
    }

    /// To be called by each scrape. A server goes one scrape after the first that did not hear of it: of two at once, one
    /// would else take away what the other was just told.
    pub(super) fn forget_unspoken(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { servers, scrapes } = &mut *known;
        servers.retain(|_, server| {
            let stays = server.spoken_of + 1 >= *scrapes;
            if !stays {
                // an error only says that it is gone already
                let _ = self.registry.unregister(Box::new(server.in_flight.clone()));
            }
            stays
        });
        *scrapes += 1;
    }

    fn new_gauge(&self, upstream: &str, server: &str) -> prometheus::Result<IntGauge> {
        // a metric of its own for each: a vector tells its children apart by the joined text of their labels,
        // in which `proxy1` at 0.0.0.1 and `proxy` at 10.0.0.1 are the same
        let gauge =
            IntGauge::with_opts(Opts::new(NAME, HELP).const_label("upstream", upstream).const_label("server", server))?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}
