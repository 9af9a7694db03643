// What the view `now` shows of the gateway itself: what needs a person, servers, the ledger, limits and budgets.

import { card, fill, h } from './dom.js';
import { bytes, count, counted, seconds, share } from './format.js';
import { badge, clip, facts, meter } from './parts.js';
import { table } from './table.js';

const STATES = { up: 'good', probing: 'warn', leaving: 'warn', down: '', unhealthy: 'bad', ejected: 'bad' };
const NEAR = 0.8;
/// Rows that wait longer than this are worth a word.
const LATE = 60;

/// The parts, in the order of the page. `show(seen)` takes what `/dashboard/api/gateway` says.
export function gatewayParts() {
    const notices = h('div', { class: 'notices', role: 'status' });
    const servers = h('div');
    const ledger = h('div');
    const limits = h('div');
    const rest = h('div', { class: 'columns' }, card('Limits and budgets', 'nearest to their end first', limits), card('Ledger and memory', null, ledger));

    function show(seen) {
        const found = problems(seen);
        fill(notices, found.length ? found.map(([mood, text]) => h('p', { class: `notice ${mood}` }, text)) : h('p', { class: 'notice good' }, 'Nothing needs attention.'));
        fill(servers, serverTable(seen));
        fill(ledger, ledgerFacts(seen));
        fill(limits, limitTable(seen));
    }

    return { notices, servers: card('Servers', null, servers), rest, show };
}

/// What needs a person, the worst first.
function problems({ state, upstreams, ledger, budgets, limits, memory, memory_limits: most }) {
    const found = [];
    if (state !== 'ready') found.push(['warn', `The gateway is ${state}.`]);
    for (const { name, servers, unresolved } of upstreams) {
        const inUse = servers.filter(server => server.state !== 'down' && server.state !== 'leaving');
        const out = inUse.filter(server => server.state === 'ejected' || server.state === 'unhealthy');
        if (inUse.length && out.length === inUse.length) found.push(['bad', `No server of ${name} can be used.`]);
        else for (const { server, state: word, last_error: why } of out) found.push(['warn', `${server} of ${name} is ${word}${why ? ` (${why.replaceAll('_', ' ')})` : ''}.`]);
        for (const address of unresolved) found.push(['warn', `The name of ${address} of ${name} has no address.`]);
    }
    const lost = sum(ledger.lost.filter(({ kind }) => kind !== 'body'));
    if (lost) found.push(['bad', `The ledger has lost ${counted(lost, 'row')} since the start.`]);
    if (ledger.rejected) found.push(['bad', `The database has refused ${counted(ledger.rejected, 'row')}: see rejected.jsonl.`]);
    if (ledger.lag_seconds > LATE) found.push(['warn', 'The database has taken no rows for over a minute; they wait in the journal.']);
    for (const { limit, subject, value } of budgets.filter(({ value }) => value >= NEAR)) {
        found.push([value >= 1 ? 'bad' : 'warn', `The budget ${limit}${subject ? ` of ${subject}` : ''} is ${value >= 1 ? 'used up' : 'near its end'}.`]);
    }
    for (const { limit, measure, value } of limits.used.filter(({ value }) => value >= 1)) found.push(['warn', `The limit ${limit} (${measure}) is used up by a caller.`]);
    for (const { of, value } of memory) {
        const limit = most.find(other => other.of === of)?.value;
        if (limit && value >= NEAR * limit) found.push(['warn', `Memory for ${of} is ${share(value / limit)} used.`]);
    }
    return found.sort(([one], [other]) => Number(other === 'bad') - Number(one === 'bad'));
}

function serverTable({ upstreams }) {
    const rows = upstreams.flatMap(upstream => upstream.servers.map(server => ({ upstream, ...server })));
    return table('Servers of all upstreams', [
        { head: 'Server', kind: 'text', cell: row => clip(row.server) },
        { head: 'Upstream', kind: 'text', cell: row => [row.upstream.name, row.upstream.queued ? h('div', { class: 'muted' }, `${count(row.upstream.queued)} queued`) : null] },
        { head: 'State', kind: 'nowrap', cell: row => [badge(row.state, STATES[row.state]), row.ejected_for_ms ? h('div', { class: 'muted' }, `for ${seconds(Math.ceil(row.ejected_for_ms / 1000))}`) : null] },
        { head: 'In flight', kind: 'number', cell: row => count(row.in_flight) },
        { head: 'Tokens in flight', kind: 'number wide', cell: row => count(row.tokens_in_flight) },
        { head: 'Weight', kind: 'number wide', cell: row => count(row.weight) },
        { head: 'Attempts', kind: 'number', cell: row => count(row.choices) },
        { head: 'Failures', kind: 'number', cell: row => failures(row) },
        { head: 'Health check', kind: 'nowrap wide', cell: row => check(row.health_check) },
    ], rows, { cards: true, none: 'No route leads to a server.' });
}

function failures({ failures: kinds, last_error: last }) {
    const all = Object.values(kinds).reduce((sum, kind) => sum + kind, 0);
    return [count(all), last ? h('div', { class: 'muted' }, `last: ${last.replaceAll('_', ' ')}`) : null];
}

function check(seen) {
    if (!seen) return h('span', { class: 'muted' }, 'none');
    return [badge(seen.passed ? 'passed' : 'failed', seen.passed ? 'good' : 'bad'), seen.error ? h('div', { class: 'muted' }, seen.error) : null];
}

function ledgerFacts({ ledger, memory, memory_limits: most, started, at }) {
    const rows = kind => ledger.rows.find(({ result }) => result === kind)?.value ?? 0;
    return facts([
        ['Rows written since the start', count(rows('new'))],
        ['Rows that wait for the database', count(ledger.queue_rows)],
        ['No progress for', ledger.lag_seconds ? seconds(ledger.lag_seconds) : 'none waits'],
        ['Journal', bytes(ledger.journal_bytes)],
        ['Rows lost', count(sum(ledger.lost.filter(({ kind }) => kind !== 'body')))],
        ['Rows that the database refused', count(ledger.rejected)],
        ...memory.map(({ of, value }) => [`Memory of ${of}`, `${bytes(value)} of ${bytes(most.find(other => other.of === of)?.value)}`]),
        ['Running for', started ? seconds(Math.max(at / 1000 - started, 0)) : null],
    ]);
}

function limitTable({ budgets, limits }) {
    const rejected = (limit, reason) => sum(limits.rejections.filter(one => one.limit === limit && (!reason || one.reason === reason)));
    const rows = [
        ...budgets.map(({ limit, subject, value }) => ({ name: limit, of: subject || 'all', kind: 'budget', value, rejected: rejected(limit, 'budget') })),
        ...limits.used.map(({ limit, measure, value }) => ({ name: limit, of: 'the caller with least left', kind: measure, value, rejected: rejected(limit, measure) })),
    ].sort((one, other) => other.value - one.value);
    const shown = new Set(rows.map(({ name }) => name));
    for (const { limit, reason, value } of limits.rejections.filter(one => !shown.has(one.limit))) rows.push({ name: limit, of: '–', kind: reason, value: null, rejected: value });
    return table('Limits and budgets, the nearest to their end first', [
        { head: 'Name', kind: 'text', cell: row => clip(row.name) },
        { head: 'Of', kind: 'text', cell: row => clip(row.of) },
        { head: 'Counts', kind: 'nowrap wide', cell: row => row.kind },
        { head: 'Used', kind: 'nowrap', cell: row => (row.value === null ? '–' : meter(row.value)) },
        { head: 'Refused', kind: 'number', hint: 'Requests since the start', cell: row => count(row.rejected) },
    ], rows.slice(0, 50), { none: 'No limit or budget has been used.' });
}

function sum(entries) {
    return entries.reduce((total, { value }) => total + value, 0);
}
