// Finds the view of this page, and shows it anew whenever its parameters change: by a filter, or by the browser's back button.

import { get, explain } from './api.js';
import { address, h } from './dom.js';

/// The module of each page. It exports `title` and `view(root, go)`, which builds the view and returns `show(params, signal)`.
const VIEWS = {
    '/dashboard': './now.js',
    '/dashboard/spend': './spend.js',
    '/dashboard/conversations': './conversations.js',
    '/dashboard/conversation': './conversation.js',
    '/dashboard/calls': './calls.js',
    '/dashboard/call': './call.js',
};

/// The entry of the navigation that a page belongs to.
const PARENTS = { '/dashboard/conversation': '/dashboard/conversations', '/dashboard/call': '/dashboard/calls' };

const root = document.getElementById('main');
const page = location.pathname;

for (const entry of document.querySelectorAll('header nav a')) {
    const path = entry.getAttribute('href');
    entry.href = address(path);
    if (path === page) entry.setAttribute('aria-current', 'page');
    else if (path === PARENTS[page]) entry.setAttribute('aria-current', 'true');
}
document.querySelector('.skip').addEventListener('click', event => {
    event.preventDefault();
    root.focus();
});
get('session').then(session => { document.getElementById('logout').hidden = !session.signed_in; }).catch(() => {});
get('ledgers').then(({ ledgers }) => chooseLedger(ledgers)).catch(() => {});

const { title, view } = await import(VIEWS[page]);
document.title = `${title} · Tollgate`;
let current = new AbortController();
const show = view(root, go);
const failure = h('div', { class: 'notices', role: 'alert' });
root.querySelector('.head')?.after(failure);

/// Goes to this page with other parameters, as a step that the back button takes back.
function go(params) {
    const search = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));
    const next = `${page}${search.size ? `?${search}` : ''}`;
    if (next === page + location.search) return;
    history.pushState(null, '', next);
    render();
}

/// Where a configuration has several ledgers, one of them is shown.
function chooseLedger(ledgers) {
    if (ledgers.length < 2) return;
    const chosen = new URLSearchParams(location.search).get('ledger') ?? '0';
    const options = ledgers.map(({ ledger, database }) => h('option', { value: ledger, selected: String(ledger) === chosen }, database));
    const change = event => location.assign(`${page}?ledger=${event.target.value}`);
    document.querySelector('header nav').after(h('label', { class: 'ledger' }, 'Ledger', h('select', { on: { change } }, options)));
}

async function render() {
    current.abort();
    const { signal } = current = new AbortController();
    root.setAttribute('aria-busy', 'true');
    try {
        await show(Object.fromEntries(new URLSearchParams(location.search)), signal);
        failure.replaceChildren();
    } catch (error) {
        if (signal.aborted) return;
        failure.replaceChildren(h('p', { class: 'notice bad' }, explain(error)));
    }
    if (!signal.aborted) root.removeAttribute('aria-busy');
}

addEventListener('popstate', render);
render();
