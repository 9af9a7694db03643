// Sums by the minute from the gateway's own counters, for a gateway without a ledger: what happened since the page was opened.

const MINUTE = 60_000;
const TYPES = { input: 'input_tokens', cache_read: 'cache_read_input_tokens', cache_creation: 'cache_creation_input_tokens', output: 'output_tokens' };
const FINE = new Set(['completed', 'cached']);

export class LocalMinutes {
    #first = null;
    #last = null;
    #minutes = new Map();

    /// Takes a reading of `/dashboard/api/gateway`. A gateway that was started anew begins again.
    add(seen) {
        if (!this.#first || seen.started !== this.#first.started) {
            this.#first = this.#last = seen;
            this.#minutes.clear();
        }
        const key = Math.floor(seen.at / MINUTE) * MINUTE;
        const minute = this.#minutes.get(key) ?? { requests: 0, errors: 0 };
        for (const { outcome, value } of increase(this.#last.outcomes, seen.outcomes)) {
            minute.requests += value;
            if (!FINE.has(outcome)) minute.errors += value;
        }
        for (const { type, value } of increase(this.#last.tokens, seen.tokens)) minute[TYPES[type]] = (minute[TYPES[type]] ?? 0) + value;
        this.#minutes.set(key, minute);
        this.#minutes.delete(key - 180 * MINUTE);
        this.#last = seen;
    }

    /// The sums in the form of `/dashboard/api/now`.
    figures(minutes) {
        const end = Math.floor(this.#last.at / MINUTE) * MINUTE;
        const empty = { requests: 0, errors: 0, ...Object.fromEntries(Object.values(TYPES).map(field => [field, 0])) };
        const list = Array.from({ length: minutes }, (_, at) => end - (minutes - 1 - at) * MINUTE).map(key => ({ minute: new Date(key).toISOString(), ...empty, ...this.#minutes.get(key) }));
        const totals = list.reduce((sums, minute) => Object.fromEntries(Object.keys(empty).map(field => [field, sums[field] + minute[field]])), empty);
        const { bounds } = this.#last.durations;
        const latency = increases(this.#first.durations.series, this.#last.durations.series);
        const all = latency.reduce((sums, row) => sums.map((value, at) => value + row.up_to[at]), bounds.map(() => 0));
        const count = latency.reduce((sum, row) => sum + row.count, 0);
        return {
            as_of: new Date(this.#last.at).toISOString(),
            minutes: list,
            totals: { ...totals, cost_usd: null, unpriced: 0, ...percentiles(bounds, all, count) },
            latency: latency.filter(row => row.count).map(row => ({ ...row, requests: row.count, ...percentiles(bounds, row.up_to, row.count) })),
            errors: increase(this.#first.errors, this.#last.errors).map(({ domain, reason, value }) => ({ domain, reason, outcome: null, requests: value })),
        };
    }
}

function name({ value, ...labels }) {
    return JSON.stringify(labels);
}

/// The series that have grown, and by how much.
function increase(before, after) {
    const known = new Map(before.map(series => [name(series), series.value]));
    return after.map(series => ({ ...series, value: series.value - (known.get(name(series)) ?? 0) })).filter(({ value }) => value > 0);
}

function increases(before, after) {
    const key = ({ domain, endpoint }) => JSON.stringify([domain, endpoint]);
    const known = new Map(before.map(series => [key(series), series]));
    return after.map(series => {
        const old = known.get(key(series));
        return { ...series, count: series.count - (old?.count ?? 0), up_to: series.up_to.map((value, at) => value - (old?.up_to[at] ?? 0)) };
    });
}

/// Percentiles of a histogram in seconds, read linearly within a bucket.
function percentiles(bounds, upTo, count) {
    const at = part => {
        if (!count) return null;
        const rank = part * count;
        const bucket = upTo.findIndex(value => value >= rank);
        if (bucket < 0) return Math.round(bounds.at(-1) * 1000);
        const [low, below] = bucket ? [bounds[bucket - 1], upTo[bucket - 1]] : [0, 0];
        const share = upTo[bucket] > below ? (rank - below) / (upTo[bucket] - below) : 1;
        return Math.round((low + (bounds[bucket] - low) * share) * 1000);
    };
    return { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) };
}
