// The view of one call: what became of it, where its time went, what it used, and its bodies where they are stored.

import { get } from './api.js';
import { cost } from './calls-table.js';
import { tokenSplit } from './conversation.js';
import { card, fill, h, link } from './dom.js';
import { bytes, count, milliseconds, moment, money } from './format.js';
import { facts, key, outcome, split, tiles } from './parts.js';
import { table } from './table.js';

export const title = 'Call';

/// Phases in the order of their colours.
const PHASES = { waiting: ['Waiting for the answer', 1], first_token: ['To the first token', 3], answering: ['Answer', 2] };

export function view(root) {
    const summary = h('div');
    const phases = h('div');
    const attempts = h('div');
    const used = h('div');
    const about = h('div');
    const bodies = h('div', { class: 'stack' });
    root.append(h('div', { class: 'head' }, h('h1', {}, title)), h('div', { class: 'stack' }, summary,
        h('div', { class: 'columns' }, card('Where the time went', null, phases), card('Attempts', null, attempts)), card('Tokens', null, used), card('The row', null, about), bodies));

    return async function show(params, signal) {
        const found = await get('call', { id: params.id }, signal);
        const { call } = found;
        fill(summary, tiles([
            ['Outcome', outcome(call), null, call.reason ?? call.error_type ?? call.stop_reason],
            ['Status', call.status ?? 'none', null, call.plugin && `by ${call.plugin}`],
            ['Time', milliseconds(call.response_time_ms), null, call.first_token_ms === null ? null : `first token after ${milliseconds(call.first_token_ms)}`],
            ['Cost', cost(call), null, call.saved_cost_usd === null || call.saved_cost_usd === undefined ? null : `saved ${money(call.saved_cost_usd)}`],
        ]));
        fill(phases, phaseBar(found.phases));
        fill(attempts, facts(attemptFacts(found, call)), attemptTable(found.attempts.each, call));
        fill(used, tokenSplit(call), call.usage_data ? folded('Usage as the provider reported it', pretty(call.usage_data)) : null);
        fill(about, facts(row(call)));
        fill(bodies, found.bodies ? bodyCards(found.bodies) : h('p', { class: 'hint' }, 'No bodies are stored for this call (usage_log.store).'));
    };
}

function phaseBar(phases) {
    const parts = phases.map(({ phase, from_ms: from, to_ms: to }) => {
        const [name, series] = PHASES[phase] ?? [phase.replaceAll('_', ' '), 4];
        return { name, series, from, to };
    });
    if (!parts.length) return h('p', { class: 'empty' }, 'No times are known.');
    return [
        split(parts.map(({ name, series, from, to }) => [name, to - from, series])),
        key(parts.map(({ name, series }) => [name, series])),
        table('Phases of the call', [
            { head: 'Phase', kind: 'text', cell: part => part.name },
            { head: 'From', kind: 'number', cell: part => milliseconds(part.from) },
            { head: 'To', kind: 'number', cell: part => milliseconds(part.to) },
            { head: 'Took', kind: 'number', cell: part => milliseconds(part.to - part.from) },
        ], parts),
    ];
}

function attemptFacts({ attempts }, call) {
    return [
        ['Attempts', count(attempts.count)],
        ['Upstream', attempts.upstream ?? 'none'],
        ['Server of the last one', attempts.last_server ?? 'none'],
        ["The server's own id", call.upstream_request_id && h('span', { class: 'mono' }, call.upstream_request_id)],
    ];
}

/// Each attempt, where there was more than one.
function attemptTable(each, call) {
    if (!each.length) return null;
    const end = attempt => attempt.ended_ms ?? call.response_time_ms;
    return table('Attempts of the call', [
        { head: 'Server', kind: 'text', cell: attempt => `${attempt.upstream} · ${attempt.server}` },
        { head: 'Address', kind: 'text wide', cell: attempt => h('span', { class: 'mono' }, attempt.address) },
        { head: 'From', kind: 'number', cell: attempt => milliseconds(attempt.began_ms) },
        { head: 'Took', kind: 'number', cell: attempt => milliseconds(end(attempt) - attempt.began_ms) },
        { head: 'Result', kind: 'nowrap', cell: result },
    ], each);
}

/// What became of an attempt: the status of its answer, or else why it failed.
function result({ status, error }) {
    const why = error === 'status' ? null : error?.replaceAll('_', ' ');
    return [status, why].filter(Boolean).join(', ') || 'no answer';
}

function row(call) {
    const mono = text => text && h('span', { class: 'mono' }, text);
    return [
        ['Call', mono(call.id)],
        ['Began', moment(call.created_at)],
        ['Request', `${call.method ?? ''} ${call.path ?? ''}`.trim()],
        ['Domain', call.domain],
        ['Protocol', call.protocol],
        ['Client', call.client_ip],
        ['Key', call.key],
        ['Tenant', call.tenant],
        ['User', call.user],
        ['Session', mono(call.session)],
        ['Conversation', call.conversation && link('/dashboard/conversation', { id: call.conversation }, mono(call.conversation))],
        ['Model asked for', call.requested_model ?? call.model],
        ['Model that answered', call.served_model],
        ['Route', call.route],
        ['Rule', call.rule],
        ['Refused by', call.plugin],
        ['Streamed', call.streaming === null || call.streaming === undefined ? null : call.streaming ? 'yes' : 'no'],
        ['Cache of the gateway', call.cache_status],
        ['Cost', cost(call)],
        ['Cost by the provider', call.provider_cost_usd && money(call.provider_cost_usd)],
        ['Limit on the answer', call.limit_tokens && `${count(call.limit_tokens)} tokens`],
        ['Size of the request', call.request_bytes === null ? null : bytes(call.request_bytes)],
        ['Size of the answer', call.response_bytes === null ? null : bytes(call.response_bytes)],
        ['Usage', call.usage_source],
        ['Service tier', call.service_tier],
        ['Trace', mono(call.trace_id)],
        ['Answer', mono(call.answer_id)],
        ['Gateway run', mono(call.instance)],
    ];
}

function bodyCards({ request, response }) {
    return [['Body of the request', request], ['Body of the answer', response]].map(([name, body]) => card(name, body && note(body), body ? folded('Show', text(body)) : h('p', { class: 'empty' }, 'Not stored.')));
}

function note(body) {
    return [bytes(body.bytes), body.encoding, body.stored_truncated && 'cut when it was stored', body.shown_truncated && 'only its beginning is shown'].filter(Boolean).join(' · ');
}

function text(body) {
    if (body.base64 !== undefined) return `(not text, base64)\n${body.base64}`;
    try {
        return pretty(JSON.parse(body.text));
    } catch {
        return body.text;
    }
}

function pretty(value) {
    return JSON.stringify(value, null, 2);
}

function folded(summary, contents) {
    return h('details', {}, h('summary', {}, summary), h('pre', { class: 'body', tabindex: '0', 'aria-label': summary }, contents));
}
