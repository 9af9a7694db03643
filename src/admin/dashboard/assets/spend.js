// The view `spend`: who used how much, by tenant, key, user, model, domain and day.

import { get } from './api.js';
import { chart } from './chart.js';
import { address, card, fill, h, link } from './dom.js';
import { CALLER, filters } from './filters.js';
import { UNKNOWN, compact, count, counted, money, share, tokens } from './format.js';
import { clip, tiles, tokenBar, unknownCosts } from './parts.js';
import { pages, table } from './table.js';

export const title = 'Spend';

const GROUPS = [['tenant', 'Tenant'], ['key', 'Key'], ['user', 'User'], ['model', 'Model'], ['domain', 'Domain'], ['day', 'Day']];
const NAMES = Object.fromEntries(GROUPS);
const SORTS = [['cost', 'Cost'], ['requests', 'Requests'], ['tokens', 'Tokens'], ['saved', 'Saved by the cache'], ['group', 'Name or day']];
const PAGE = 100;
/// Days in a page of the chart's query, the most that the API gives. A span has up to 400.
const DAYS_PAGE = 200;
/// The parameters that the API knows; others of an address are none of its business.
const FILTERS = ['from', 'to', 'tenant', 'key', 'user', 'model', 'domain'];

export function view(root, go) {
    const form = filters([
        { name: 'group', label: 'Group by', type: 'select', options: GROUPS, fallback: 'tenant' },
        { name: 'then', label: 'Then by', type: 'select', options: [['', 'nothing'], ...GROUPS] },
        { name: 'from', label: 'From (UTC)', type: 'date' },
        { name: 'to', label: 'To (UTC)', type: 'date' },
        ...CALLER,
        { name: 'sort', label: 'Sort by', type: 'select', options: SORTS, fallback: 'cost' },
    ], go);
    const csv = h('a', { class: 'button', download: 'spend.csv' }, 'Download CSV');
    const summary = h('div');
    const rows = h('div');
    const days = chart({ title: 'Cost a day', head: 'Day (UTC)', format: money, series: [{ name: 'Cost', series: 1 }] });
    const notices = h('div', { class: 'notices' });
    root.append(
        h('div', { class: 'head' }, h('h1', {}, title), csv),
        h('div', { class: 'stack' }, h('section', { class: 'card', 'aria-label': 'Filters' }, form.element), notices, summary, card('Cost a day', null, days.element), card('Who spent it', null, rows)),
    );

    return async function show(params, signal) {
        form.set(params);
        const span = Object.fromEntries(FILTERS.filter(name => name in params).map(name => [name, params[name]]));
        const by = [params.group ?? 'tenant', params.then].filter((word, at, all) => word && all.indexOf(word) === at);
        const asked = { ...span, by: by.join(','), sort: params.sort ?? (by[0] === 'day' ? 'group' : 'cost') };
        csv.href = address('/dashboard/api/spend', { ...asked, format: 'csv' });
        const [spend, perDay] = await Promise.all([
            get('spend', { ...asked, limit: PAGE, after: params.after }, signal),
            allDays(span, signal),
        ]);
        fill(notices, spend.unfilled_days ? h('p', { class: 'notice warn' }, `The rows of ${counted(spend.unfilled_days, 'day')} of this span are still being summed up: figures are too low until then.`) : null);
        fill(summary, totals(spend.totals));
        fill(rows, spendTable(spend, params, by), pages(params, spend.next, go, { note: `${counted(spend.groups, 'group')}, ${spend.from} to ${spend.to}` }) ?? '');
        showDays(perDay);
        get('spend_options', { from: params.from, to: params.to }, signal).then(options => {
            for (const { name } of CALLER) form.offer(name, options[name] ?? []);
        }).catch(() => {});
    };

    function showDays({ rows: found, from, to }) {
        const known = new Map(found.map(row => [row.group[0], row]));
        const labels = [];
        for (let day = Date.parse(from); day <= Date.parse(to); day += 86_400_000) labels.push(new Date(day).toISOString().slice(0, 10));
        days.show(labels.map(day => Date.parse(day) / 1000), [labels.map(day => Number(known.get(day)?.cost_usd ?? 0))], labels, { isDays: true });
    }
}

/// The sums of each day of a span, the earliest first.
async function allDays(span, signal) {
    const rows = [];
    let page;
    do {
        page = await get('spend', { ...span, by: 'day', sort: 'group', limit: DAYS_PAGE, after: page?.next }, signal);
        rows.push(...page.rows);
    } while (page.next);
    return { ...page, rows };
}

function totals(sums) {
    return tiles([
        ['Cost', money(sums.cost_usd), null, unknownCosts(sums)],
        ['Saved by the cache', money(sums.saved_cost_usd), null, `${counted(sums.cache_hits, 'hit')} · ${compact(sums.saved_tokens)} tokens`],
        ['Requests', compact(sums.requests), null, `${count(sums.errors)} failed or refused`],
        ['Tokens', compact(tokens(sums)), null, `${compact(sums.output_tokens)} of them output`],
        ['Cache-read share', share(sums.cache_read_share), null, 'of input, by providers'],
        ['Unpriced answers', count(sums.unpriced), null, sums.unpriced ? 'their cost is unknown' : null],
    ]);
}

/// A group's name, as a link that shows this group alone.
function groupCell(row, at, params, by) {
    const [word, value] = [by[at], row.group[at]];
    if (row.other && value === null) return h('span', { class: 'muted' }, 'others');
    const name = value === null ? h('span', { class: 'muted' }, 'none') : clip(value);
    if (word === 'day') return link('/dashboard/spend', { ...params, from: value, to: value, group: by.find(other => other !== 'day') ?? 'tenant', then: undefined, after: undefined }, name);
    const next = ['tenant', 'key', 'user', 'model'].find(other => other !== word && !(other in params) && !by.includes(other));
    const group = by.length === 1 ? next ?? word : by[1 - at];
    return link('/dashboard/spend', { ...params, [word]: value ?? '', group, then: undefined, after: undefined }, name);
}

function spendTable(spend, params, by) {
    const groups = by.map((word, at) => ({ head: NAMES[word] ?? word, kind: 'text', cell: row => groupCell(row, at, params, by) }));
    const figure = (head, kind, cell, hint) => ({ head, kind, cell, hint, sum: cell });
    const exact = (text, shown = money(text)) => (text === null ? h('span', { class: 'muted' }, UNKNOWN) : h('span', { title: `$${text}` }, shown));
    return table(`Spend by ${by.join(' and ')}`, [
        ...groups,
        figure('Cost', 'number', row => exact(row.cost_usd)),
        figure('Unpriced', 'number', row => (row.unpriced ? h('span', { class: 'bad-text' }, count(row.unpriced)) : '0'), 'Answers whose cost is unknown; the cost is of the others'),
        figure('Requests', 'number', row => count(row.requests)),
        figure('Errors', 'number', row => count(row.errors)),
        figure('Input', 'number', row => count(row.input_tokens), 'Tokens of input that no cache had'),
        figure('Cache read', 'number', row => count(row.cache_read_input_tokens)),
        figure('Cache write', 'number', row => count(row.cache_creation_input_tokens)),
        figure('Output', 'number', row => [count(row.output_tokens), tokens(row) ? tokenBar(row) : null]),
        figure('Cache-read share', 'number', row => share(row.cache_read_share)),
        figure('Saved', 'number', row => exact(row.saved_cost_usd), "What answers from the gateway's own cache would have cost"),
    ], spend.rows, { cards: true, none: 'No calls in this span with these filters.', foot: spend.totals });
}

