// What the view `now` shows of sums by the minute: tiles, charts, errors and latencies.

import { chart } from './chart.js';
import { card, fill, h } from './dom.js';
import { compact, count, counted, milliseconds, money, seconds, share, tokens } from './format.js';
import { clip, failure, tiles, TOKENS } from './parts.js';
import { table } from './table.js';

const SECONDS = 1000;

const NONE = () => h('span', { class: 'muted' }, 'none');

function domain(row) {
    return row.domain ? clip(row.domain) : h('span', { class: 'muted' }, row.other ? 'other domains' : 'none');
}

/// The parts, in the order of the page. `show(now)` takes sums by the minute, `gateway(seen)` what the gateway knows of itself.
export function figures() {
    const summary = h('div');
    const latency = h('div');
    const errors = h('div');
    const requests = chart({ title: 'Requests a minute', head: 'Minute (UTC)', format: compact, series: [{ name: 'Fine', series: 1 }, { name: 'Failed or refused', series: 'bad' }] });
    const used = chart({ title: 'Tokens a minute', head: 'Minute (UTC)', format: compact, series: TOKENS.map(([name, , series]) => ({ name, series })) });
    const charts = h('div', { class: 'columns' }, card('Requests a minute', null, requests.element), card('Tokens a minute', null, used.element));
    const tables = h('div', { class: 'columns' }, card('Latency by endpoint and domain', 'to the last byte', latency), card('Errors by reason and domain', null, errors));
    let now = null;
    let seen = null;

    function show(next) {
        now = next;
        tell();
        const times = now.minutes.map(({ minute }) => Date.parse(minute) / SECONDS);
        const labels = now.minutes.map(({ minute }) => minute.slice(11, 16));
        requests.show(times, [now.minutes.map(one => one.requests - one.errors), now.minutes.map(one => one.errors)], labels);
        used.show(times, TOKENS.map(([, field]) => now.minutes.map(one => one[field])), labels);
        fill(latency, table('Latency by endpoint and domain', [
            { head: 'Endpoint and domain', kind: 'text', cell: row => [row.endpoint ? clip(row.endpoint) : 'no model call', h('div', { class: 'muted' }, domain(row))] },
            { head: 'Requests', kind: 'number', cell: row => count(row.requests) },
            { head: 'p50', kind: 'number', cell: row => milliseconds(row.p50_ms) },
            { head: 'p95', kind: 'number', cell: row => milliseconds(row.p95_ms) },
            { head: 'p99', kind: 'number', cell: row => milliseconds(row.p99_ms) },
        ], now.latency, { none: 'No call has ended in this time.' }));
        fill(errors, table('Errors by reason and domain', [
            { head: 'Reason', kind: 'text', cell: row => row.reason?.replaceAll('_', ' ') ?? NONE() },
            { head: 'Outcome', kind: 'nowrap', cell: row => (row.outcome ? failure(row.outcome) : '–') },
            { head: 'Domain', kind: 'text', cell: domain },
            { head: 'Requests', kind: 'number', cell: row => count(row.requests) },
        ], now.errors, { none: 'No errors in this time.' }));
    }

    /// What is shown of the running minute and of the one before it, as a rate.
    function rate(value) {
        const two = now.minutes.slice(-2);
        const since = Date.parse(now.as_of) - Date.parse(two[0].minute);
        return (two.reduce((sum, minute) => sum + value(minute), 0) * 60 * SECONDS) / Math.max(since, SECONDS);
    }

    function tell() {
        if (!now) return;
        const { totals } = now;
        const span = `in ${now.minutes.length} min`;
        const failed = totals.requests ? totals.errors / totals.requests : 0;
        const lag = seen?.ledger.lag_seconds;
        const queued = seen?.upstreams.reduce((sum, upstream) => sum + upstream.queued, 0);
        fill(summary, tiles([
            ['Requests a minute', compact(rate(minute => minute.requests)), null, `${count(totals.requests)} ${span}`],
            ['Tokens a minute', compact(rate(minute => tokens(minute))), null, `${compact(tokens(totals))} ${span}`],
            ['Errors', share(failed), null, `${count(totals.errors)} ${span}`],
            ['Latency, median', milliseconds(totals.p50_ms), null, `p95 ${milliseconds(totals.p95_ms)} · p99 ${milliseconds(totals.p99_ms)}`],
            ['Cost', money(totals.cost_usd), null, totals.unpriced ? `${count(totals.unpriced)} of unknown cost` : span],
            seen && ['In flight', count(seen.requests_in_flight), seen.requests_in_flight === 1 ? 'request' : 'requests', `${count(queued)} queued · ${counted(seen.connections_in_flight, 'connection')}`],
            seen && seen.ledger.queue_rows !== null && ['Ledger lag', lag ? seconds(lag) : 'none', null, `${counted(seen.ledger.queue_rows, 'row waits', 'rows wait')}`],
        ]));
    }

    function gateway(next) {
        seen = next;
        tell();
    }

    return { tiles: summary, charts, tables, show, gateway };
}

