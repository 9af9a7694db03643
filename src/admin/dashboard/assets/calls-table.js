// The columns of calls, as every list of calls shows them.

import { h, link } from './dom.js';
import { UNKNOWN, compact, count, milliseconds, money, shortId, time, tokens } from './format.js';
import { outcome, tokenBar } from './parts.js';

/// Which model answered, and which one was asked for where that is another one.
export function model(call) {
    const served = call.served_model ?? call.model;
    if (!served) return h('span', { class: 'muted' }, '–');
    const asked = call.requested_model ?? call.model;
    return asked && asked !== served ? [served, h('div', { class: 'muted' }, `asked: ${asked}`)] : served;
}

/// Who called: the key, else the user, else the tenant.
export function caller(call) {
    const name = call.key ?? call.user ?? call.tenant;
    return name ?? h('span', { class: 'muted' }, 'not known');
}

/// What a call cost: known, unknown, or nothing because no answer came.
export function cost(call) {
    return call.cost_usd === null ? h('span', { class: 'muted' }, UNKNOWN) : h('span', { title: `$${call.cost_usd}` }, money(call.cost_usd));
}

/// Why a call ended as it did, where that needs a word.
export function reason(call) {
    const word = call.reason ?? call.error_type;
    return word ? h('div', { class: 'muted' }, word.replaceAll('_', ' ')) : null;
}

/// The columns of a table of calls.
export const CALLS = [
    { head: 'Time (UTC)', kind: 'nowrap', cell: call => link('/dashboard/call', { id: call.id }, time(call.created_at), h('span', { class: 'visually-hidden' }, `, call ${shortId(call.id)}`)) },
    { head: 'Outcome', kind: 'nowrap', cell: call => [outcome(call), reason(call)] },
    { head: 'Status', kind: 'number', cell: call => call.status ?? '–' },
    { head: 'Model', kind: 'text', cell: model },
    { head: 'Caller', kind: 'text', cell: caller },
    { head: 'Domain', kind: 'text wide', cell: call => [call.domain ?? '–', h('div', { class: 'muted' }, call.path)] },
    { head: 'Server', kind: 'text wide', cell: call => [call.server ?? '–', call.attempts > 1 ? h('div', { class: 'muted' }, `${call.attempts} attempts`) : null] },
    { head: 'Tokens', kind: 'number', hint: 'Input, cached or not, and output', cell: call => [compact(tokens(call)), tokens(call) ? tokenBar(call) : null] },
    { head: 'Output', kind: 'number wide', cell: call => count(call.output_tokens) },
    { head: 'Cost', kind: 'number', cell: cost },
    { head: 'Took', kind: 'number', hint: 'From the head of the request to the last byte of the answer', cell: call => milliseconds(call.response_time_ms) },
];
