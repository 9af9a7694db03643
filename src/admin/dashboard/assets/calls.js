// The view `calls`: every call, newest first, with filters.

import { get } from './api.js';
import { CALLS } from './calls-table.js';
import { card, fill, h } from './dom.js';
import { CALLER, filters } from './filters.js';
import { moment } from './format.js';
import { pages, table } from './table.js';

export const title = 'Calls';

const OUTCOMES = ['completed', 'cached', 'refused', 'upstream_failed', 'client_gone', 'aborted'];

export function view(root, go) {
    const form = filters([
        { name: 'from', label: 'From (UTC)', hint: '24 hours ago' },
        { name: 'to', label: 'To (UTC)', hint: 'now' },
        ...CALLER,
        { name: 'outcome', label: 'Outcome', type: 'select', options: [['', 'any'], ...OUTCOMES.map(word => [word, word.replaceAll('_', ' ')])] },
        { name: 'status', label: 'Status', hint: '200 or 4xx' },
        { name: 'min_ms', label: 'Slower than (ms)', type: 'number', hint: 'any' },
        { name: 'errors', label: 'Errors alone', type: 'check' },
    ], go);
    const rows = h('div');
    root.append(h('div', { class: 'head' }, h('h1', {}, title)), h('div', { class: 'stack' }, h('section', { class: 'card', 'aria-label': 'Filters' }, form.element), card('Newest first', null, rows)));

    return async function show(params, signal) {
        form.set(params);
        const found = await get('calls', params, signal);
        fill(rows, table('Calls, newest first', CALLS, found.calls, { cards: true, none: found.next ? 'None so far; there is more further back.' : 'No calls in this span with these filters.' }),
            pages(params, found.next, go, { words: 'Further back', note: `looked back to ${moment(found.searched_to)}` }) ?? '');
        get('spend_options', {}, signal).then(options => {
            for (const { name } of CALLER) form.offer(name, options[name] ?? []);
        }).catch(() => {});
    };
}
