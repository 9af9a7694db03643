// The view `conversations`: those with the latest requests first.

import { get } from './api.js';
import { card, fill, h, link } from './dom.js';
import { CALLER, filters } from './filters.js';
import { compact, count, moment, share, shortId, time, tokens } from './format.js';
import { caller, cost } from './calls-table.js';
import { badge, clip, tokenBar } from './parts.js';
import { pages, table } from './table.js';

export const title = 'Conversations';

/// The columns of a list of conversations.
export const CONVERSATIONS = [
    { head: 'Last request (UTC)', kind: 'nowrap', cell: row => link('/dashboard/conversation', { id: row.id }, time(row.last_request_at), h('span', { class: 'visually-hidden' }, `, conversation ${shortId(row.id)}`)) },
    { head: 'Conversation', kind: 'nowrap', cell: row => [h('span', { class: 'mono', title: row.id }, shortId(row.id)), row.parent ? [' ', badge('subagent')] : null] },
    { head: 'Caller', kind: 'text', cell: row => [caller(row), row.tenant && row.key ? clip(row.tenant, 'muted') : null] },
    { head: 'Model', kind: 'text', cell: row => clip(row.model ?? '–') },
    { head: 'Requests', kind: 'number', cell: row => [count(row.requests), row.errors ? h('div', { class: 'bad-text' }, `${count(row.errors)} failed`) : null] },
    { head: 'Tokens', kind: 'number', cell: row => [compact(tokens(row)), tokens(row) ? tokenBar(row) : null] },
    { head: 'Cache read', kind: 'number', hint: "The part of the input that the provider's prompt cache had", cell: row => share(row.cache_read_share) },
    { head: 'Cost', kind: 'number', cell: row => [cost(row), row.cost_usd !== null && row.unpriced ? h('div', { class: 'muted' }, `+ ${count(row.unpriced)} unknown`) : null] },
    { head: 'Domain', kind: 'text wide', cell: row => clip(row.domain ?? '–') },
];

export function view(root, go) {
    const form = filters([
        { name: 'from', label: 'From (UTC)', hint: '24 hours ago' },
        { name: 'to', label: 'To (UTC)', hint: 'now' },
        ...CALLER,
        { name: 'session', label: 'Session', hint: 'any' },
    ], go);
    const rows = h('div');
    root.append(h('div', { class: 'head' }, h('h1', {}, title)), h('div', { class: 'stack' }, h('section', { class: 'card', 'aria-label': 'Filters' }, form.element), card('By latest request', null, rows)));

    return async function show(params, signal) {
        form.set(params);
        const found = await get('conversations', params, signal);
        fill(rows, table('Conversations, those with the latest requests first', CONVERSATIONS, found.conversations, { cards: true, none: found.next ? 'None so far; there is more further back.' : 'No conversations in this span with these filters.' }),
            pages(params, found.next, go, { words: 'Further back', note: `looked back to ${moment(found.searched_to)}` }) ?? '');
        get('spend_options', {}, signal).then(options => {
            for (const { name } of CALLER) form.offer(name, options[name] ?? []);
        }).catch(() => {});
    };
}
