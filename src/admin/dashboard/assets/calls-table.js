// The columns of calls, as every list of calls shows them.

import { h, link } from './dom.js';
import { UNKNOWN, compact, milliseconds, money, shortId, time, tokens } from './format.js';
import { clip, outcome, tokenBar } from './parts.js';

/// Which model answered, and which one was asked for where that is another one.
export function model(call) {
    const served = call.served_model ?? call.model;
    if (!served) return h('span', { class: 'muted' }, '–');
    const asked = call.requested_model ?? call.model;
    return [clip(served), asked && asked !== served ? clip(`asked: ${asked}`, 'muted') : null];
}

/// Who called: the key, else the user, else the tenant.
export function caller(call) {
    const name = call.key ?? call.user ?? call.tenant;
    return name ? clip(name) : h('span', { class: 'muted' }, '–');
}

/// Why a call of this outcome costs nothing.
const FREE = { refused: 'The call was not made', cached: "Answered from the gateway's cache" };

/// What a call cost: known or unknown, or that nobody was asked who takes money.
export function cost(call) {
    if (call.cost_usd === null && FREE[call.outcome]) return h('span', { class: 'muted', title: FREE[call.outcome] }, '–');
    return call.cost_usd === null ? h('span', { class: 'muted' }, UNKNOWN) : h('span', { title: `$${call.cost_usd}` }, money(call.cost_usd));
}

/// The status of a call, and why it ended as it did where that needs a word.
export function reason(call) {
    const words = [call.status ?? 'no status', (call.reason ?? call.error_type)?.replaceAll('_', ' ')];
    return h('div', { class: 'muted' }, words.filter(Boolean).join(' · '));
}

/// The columns of a table of calls.
export const CALLS = [
    { head: 'Time (UTC)', kind: 'nowrap', cell: call => link('/dashboard/call', { id: call.id }, time(call.created_at), h('span', { class: 'visually-hidden' }, `, call ${shortId(call.id)}`)) },
    { head: 'Outcome', kind: 'nowrap', cell: call => [outcome(call), reason(call)] },
    { head: 'Model', kind: 'text', cell: model },
    { head: 'Caller', kind: 'text', cell: caller },
    { head: 'Domain', kind: 'text wide', cell: call => [clip(call.domain ?? '–'), clip(call.path, 'muted')] },
    { head: 'Server', kind: 'text wide', cell: call => [clip(call.server ?? '–'), call.attempts > 1 ? h('div', { class: 'muted' }, `${call.attempts} attempts`) : null] },
    { head: 'Tokens', kind: 'number', hint: 'Input, cached or not, and output', cell: call => [compact(tokens(call)), tokens(call) ? tokenBar(call) : null] },
    { head: 'Cost', kind: 'number', cell: cost },
    { head: 'Took', kind: 'number', hint: 'From the head of the request to the last byte of the answer', cell: call => milliseconds(call.response_time_ms) },
];
