//! The trace that a request belongs to, by W3C Trace Context, and what is noted of it on its way for the spans that are made later.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// What separates two outputs of a generator: odd, and without a pattern (`SplitMix64`).
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// The flag of a trace that is sampled.
const SAMPLED: u8 = 1;

/// The id of a trace; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// The id of a span; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// The id with these bytes; none if they are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Its last 64 bits, which are random wherever it comes from.
    #[must_use]
    pub fn low(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    fn random() -> Self {
        let (high, low) = (random(), random());
        Self((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

impl SpanId {
    /// The id with these bytes; none if they are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// The id of its child with this number. It is the same whenever it is asked for, so that nobody need keep it.
    #[must_use]
    pub fn child(self, number: u64) -> Self {
        let parent = u64::from_be_bytes(self.0);
        Self(mix(parent.wrapping_add(STEP.wrapping_mul(number + 1))).max(1).to_be_bytes())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(write_hex(&mut [0; 32], &self.0)).unwrap_or_default())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(write_hex(&mut [0; 16], &self.0)).unwrap_or_default())
    }
}

/// The trace that a client says its request belongs to: `00-<trace id>-<span id>-<flags>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace_id: TraceId,
    /// The client's span.
    pub parent: SpanId,
    /// Its flags.
    pub flags: u8,
}

impl Traceparent {
    /// Its length in version 00, and the least of any later one.
    const LENGTH: usize = 55;

    /// Reads the header; none if it is not valid.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, rest) = header.split_at_checked(Self::LENGTH)?;
        let version = hex::<1>(known, 0)?[0];
        // what a later version adds is behind a dash
        let is_whole = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        if version == 0xff || !is_whole || [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
            return None;
        }
        let trace_id = TraceId::from_bytes(hex(known, 3)?)?;
        Some(Self { trace_id, parent: SpanId::from_bytes(hex(known, 36)?)?, flags: hex::<1>(known, 53)?[0] })
    }
}

/// Bytes as hexadecimal digits in lower case.
fn hex<const N: usize>(text: &[u8], from: usize) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.get(from..from + 2 * N)?.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Writes bytes as hexadecimal digits in lower case, two for each, and returns the digits.
fn write_hex<'d>(digits: &'d mut [u8], bytes: &[u8]) -> &'d [u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    digits
}

/// The trace of a request, and what is noted for its spans.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// The gateway's span; none where the gateway makes no spans.
    pub span: Option<SpanId>,
    /// The client's span; none where the trace begins here.
    pub parent: Option<SpanId>,
    /// The flags that go upstream.
    pub flags: u8,
    /// Whether its spans are sent even if nothing fails.
    pub is_sampled: bool,
    /// When the plugins began and were through with its head, and with its call, from its head on; none where they saw none.
    pub hooks: [Option<(Duration, Duration)>; 2],
}

impl Trace {
    /// The trace of a request to whose client no spans are told: what the client says of it.
    #[must_use]
    pub fn passing(client: Traceparent) -> Self {
        let Traceparent { trace_id, parent, flags } = client;
        Self { id: trace_id, span: None, parent: Some(parent), flags, is_sampled: false, hooks: [None; 2] }
    }

    /// The trace of a request of which spans are made: its client's, or a new one. `is_sampled` decides by the id.
    #[must_use]
    pub fn traced(client: Option<Self>, is_sampled: impl FnOnce(&TraceId) -> bool) -> Self {
        let span = Some(SpanId(random().to_be_bytes()));
        if let Some(client) = client {
            let is_sampled = is_sampled(&client.id);
            return Self { span, is_sampled, ..client };
        }
        let id = TraceId::random();
        let is_sampled = is_sampled(&id);
        let flags = if is_sampled { SAMPLED } else { 0 };
        Self { id, span, parent: None, flags, is_sampled, hooks: [None; 2] }
    }

    /// The trace of a message on the WebSocket of this request, whose span is below this one's.
    #[must_use]
    pub fn of_message(&self) -> Self {
        let span = self.span.map(|_| SpanId(random().to_be_bytes()));
        let parent = self.span.or(self.parent);
        Self { span, parent, hooks: [None; 2], ..*self }
    }

    /// The span of an attempt, by its index.
    #[must_use]
    pub fn attempt_span(span: SpanId, index: usize) -> SpanId {
        // the first numbers are those of other spans
        span.child(index as u64 + 16)
    }

    /// What the server of an attempt is told, by the attempt's index, as the header has it; none where the client's own passes.
    #[must_use]
    pub fn traceparent(&self, attempt: usize) -> Option<[u8; 55]> {
        let span = Self::attempt_span(self.span?, attempt);
        let mut text = *b"00-________________________________-________________-__";
        write_hex(&mut text[3..35], &self.id.0);
        write_hex(&mut text[36..52], &span.0);
        write_hex(&mut text[53..], &[self.flags]);
        Some(text)
    }
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

/// A number that is hardly ever made twice; never zero. It need not be a secret.
fn random() -> u64 {
    STATE.with(|state| {
        state.set(state.get().wrapping_add(STEP));
        mix(state.get()).max(1)
    })
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let parsed = Traceparent::parse(VALID.as_bytes()).unwrap();
        assert_eq!(parsed.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((parsed.parent.to_string().as_str(), parsed.flags), ("00f067aa0ba902b7", 1));
        for later in [VALID.replacen("00", "01", 1), VALID.replacen("00", "cc", 1) + "-what-comes"] {
            assert_eq!(Traceparent::parse(later.as_bytes()), Some(parsed), "{later}");
        }
        let wrong = [
            "".to_owned(),
            VALID[..54].to_owned(),
            VALID.to_owned() + "-x",
            VALID.replacen("00", "ff", 1),
            VALID.replacen("00", "01", 1) + "x",
            VALID.to_uppercase(),
            VALID.replacen("4bf9", "4bg9", 1),
            VALID.replace('-', "_"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
        ];
        for wrong in wrong {
            assert_eq!(Traceparent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_server_gets_the_trace_of_the_client_and_a_span_of_the_gateway() {
        let client = Traceparent::parse(VALID.as_bytes()).unwrap();
        let trace = Trace::traced(Some(Trace::passing(client)), |_| false);
        let mut told = HashSet::new();
        for attempt in 0..3 {
            let told_now = Traceparent::parse(&trace.traceparent(attempt).unwrap()).unwrap();
            assert_eq!((told_now.trace_id, told_now.flags), (client.trace_id, 1), "the client decides on its flags");
            assert_ne!(told_now.parent, client.parent);
            told.insert(told_now.parent.to_string());
        }
        assert_eq!(told.len(), 3, "each attempt is a span of its own");
        assert_eq!(Trace::passing(client).traceparent(0), None);
    }

    #[test]
    fn ids_that_are_made_here_differ_and_are_spread_evenly() {
        let traces: Vec<Trace> = (0..20_000).map(|_| Trace::traced(None, |id| id.low() >> 63 == 0)).collect();
        let ids: HashSet<_> = traces.iter().map(|trace| trace.id.to_string()).collect();
        assert_eq!(ids.len(), traces.len());
        let sampled = traces.iter().filter(|trace| trace.is_sampled).count();
        assert!((9_500..10_500).contains(&sampled), "{sampled}");
        assert!(traces.iter().all(|trace| trace.is_sampled == (trace.flags == 1) && trace.parent.is_none()));
    }
}
