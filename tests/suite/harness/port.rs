//! Ports for those who cannot bind port 0 themselves.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below these the system gives no port to those who bind port 0, so that nobody else has one before it is bound.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port that is free on all addresses of both families, and that nobody else gets from here.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // suites that run side by side begin apart
    let begin = std::process::id().wrapping_mul(613);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let port = FIRST + (number % u32::from(COUNT)) as u16;
        let is_free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
            && TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok();
        if is_free {
            return port;
        }
    }
}
