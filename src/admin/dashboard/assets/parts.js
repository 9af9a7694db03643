// Small parts of views: tiles, badges, meters, bars that are split.

import { count, counted, share } from './format.js';
import { h } from './dom.js';

/// Figures at sight: `[name, value, unit or null, more or null]` each.
export function tiles(entries) {
    return h('dl', { class: 'tiles' }, entries.filter(Boolean).map(([name, value, unit, more]) => h('div', { class: 'tile' },
        h('dt', {}, name),
        h('dd', {}, value, unit ? h('span', { class: 'unit' }, ` ${unit}`) : null),
        more === undefined ? null : h('dd', { class: 'more' }, more ?? ''))));
}

/// A word on a coloured ground; `mood` is `good`, `warn`, `bad` or nothing.
export function badge(text, mood = '') {
    return h('span', { class: `badge ${mood}`.trim() }, text);
}

const OUTCOMES = { completed: 'good', cached: 'good', refused: 'warn', client_gone: 'warn', upstream_failed: 'bad', aborted: 'bad' };

/// What became of a call, in words.
export function outcome(call) {
    return call.outcome === 'completed' && call.status >= 400 ? failure(call.outcome) : badge(words(call.outcome), OUTCOMES[call.outcome]);
}

/// The outcome of a call that failed: one that was completed has been answered with an error.
export function failure(word) {
    return word === 'completed' ? badge('answered with error', 'bad') : badge(words(word), OUTCOMES[word]);
}

function words(word) {
    return word?.replaceAll('_', ' ') ?? 'unknown';
}

/// What a sum of costs leaves out.
export function unknownCosts(sums) {
    if (sums.unpriced) return `${counted(sums.unpriced, 'answer')} of unknown cost`;
    return sums.cost_usd === null ? 'failed calls have no known cost' : 'of all answers';
}

/// A name in one line. One that is too long is cut, and whole in its title; on a phone it has more lines.
export function clip(text, kind = '') {
    return h('div', { class: `clip ${kind}`.trim(), title: text }, text);
}

/// How much of something is used. From 80 % on it is a warning, from 95 % on it is bad.
export function meter(ratio) {
    const mood = ratio >= 0.95 ? 'bad' : ratio >= 0.8 ? 'warn' : '';
    const fill = h('div', { class: `fill ${mood}`.trim() });
    fill.style.width = `${Math.min(ratio, 1) * 100}%`;
    return h('div', { class: 'meter' }, h('div', { class: 'track', 'aria-hidden': 'true' }, fill), h('span', { class: 'nowrap' }, share(ratio)));
}

/// A bar split into parts `[name, amount, series]`, without words: what it shows stands beside it.
export function split(parts, { thin = false, total = parts.reduce((sum, [, amount]) => sum + amount, 0) } = {}) {
    const pieces = parts.filter(([, amount]) => amount > 0).map(([name, amount, series]) => {
        const piece = h('div', { class: `series-${series}`, title: `${name}: ${count(amount)}` });
        piece.style.width = `${(amount / total) * 100}%`;
        return piece;
    });
    return h('div', { class: thin ? 'split thin' : 'split', 'aria-hidden': 'true' }, pieces);
}

/// What the colours mean: `[name, series, value or null]` each.
export function key(entries) {
    return h('ul', { class: 'key' }, entries.map(([name, series, value]) => h('li', {},
        h('span', { class: `swatch series-${series}` }), name, value === undefined ? null : h('strong', {}, value))));
}

/// Names and values, those that are not known left out: `[name, value]` each.
export function facts(entries) {
    const known = entries.filter(entry => entry && entry[1] !== null && entry[1] !== undefined && entry[1] !== '');
    return h('dl', { class: 'facts' }, known.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/// The classes of tokens: the name, the field of a row and the colour of each.
export const TOKENS = [
    ['Input', 'input_tokens', 1],
    ['Cache read', 'cache_read_input_tokens', 2],
    ['Cache write', 'cache_creation_input_tokens', 3],
    ['Output', 'output_tokens', 4],
];

/// The tokens of a row as a thin bar.
export function tokenBar(row) {
    return split(TOKENS.map(([name, field, series]) => [name, row[field] ?? 0, series]), { thin: true });
}
