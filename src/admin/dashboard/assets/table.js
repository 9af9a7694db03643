// Tables, and the links that lead through their pages.

import { h } from './dom.js';

/// A table with a caption for screen readers, in a box that scrolls sideways. A column is `{ head, cell(row), kind, hint }`: `kind` is
/// `number`, `text` or `nowrap`, with ` wide` where a phone has no room for it. The first column names the row. Where rows have many
/// figures, they are `cards` on a phone; roles are said, since a browser may forget them with the look of a table.
export function table(caption, columns, rows, { none = 'Nothing yet.', foot = null, cards = false } = {}) {
    if (!rows.length) return h('p', { class: 'empty' }, none);
    const heads = columns.map(column => h('th', { scope: 'col', role: 'columnheader', class: column.kind, title: column.hint }, column.head));
    const cell = (column, at, ...contents) => {
        const attributes = { class: column.kind, 'data-head': column.head };
        return at === 0 ? h('th', { ...attributes, scope: 'row', role: 'rowheader' }, contents) : h('td', { ...attributes, role: 'cell' }, contents);
    };
    const line = cells => h('tr', { role: 'row' }, cells);
    const lines = rows.map(row => line(columns.map((column, at) => cell(column, at, column.cell(row)))));
    const sums = foot && h('tfoot', { role: 'rowgroup' }, line(columns.map((column, at) => cell(column, at, at === 0 ? 'Total' : column.sum?.(foot) ?? ''))));
    return h('div', { class: cards ? 'scroll cards' : 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, h('table', { role: 'table' },
        h('caption', { class: 'visually-hidden' }, caption), h('thead', { role: 'rowgroup' }, line(heads)), h('tbody', { role: 'rowgroup' }, lines), sums));
}

/// Buttons to the first and the next page of a list.
export function pages(params, next, go, { words = 'Next page', note = null } = {}) {
    const button = (text, after) => h('button', { type: 'button', on: { click: () => go({ ...params, after }) } }, text);
    const first = params.after ? button('First page', undefined) : null;
    const further = next ? button(words, next) : null;
    if (!first && !further && !note) return null;
    return h('nav', { class: 'pages', 'aria-label': 'Pages' }, first, further, note ? h('span', { class: 'hint' }, note) : null);
}
