// The view of one conversation: its turns with their branches, and its subagents.

import { get } from './api.js';
import { cost, model, reason } from './calls-table.js';
import { CONVERSATIONS } from './conversations.js';
import { card, fill, h, link } from './dom.js';
import { compact, count, milliseconds, moment, money, share, time, tokens } from './format.js';
import { badge, clip, facts, key, outcome, split, tiles, tokenBar, TOKENS, unknownCosts } from './parts.js';
import { pages, table } from './table.js';

export const title = 'Conversation';

export function view(root, go) {
    const summary = h('div');
    const about = h('div');
    const turns = h('div');
    const subagents = h('div');
    root.append(h('div', { class: 'head' }, h('h1', {}, title)), h('div', { class: 'stack' }, summary, card('About', null, about), card('Turns', 'oldest first', turns), card('Subagents', null, subagents)));

    return async function show(params, signal) {
        const found = await get('conversation', { id: params.id, after: params.after }, signal);
        fill(summary, totals(found.summary));
        fill(about, facts(of(found.summary)), tokenSplit(found.summary));
        fill(turns, turnTable(found.turns), pages(params, found.next, go, { words: 'Later turns' }) ?? '');
        fill(subagents, table('Conversations of subagents', CONVERSATIONS, found.subagents ?? [], { cards: true, none: 'No subagent has a conversation of its own.' }));
    };
}

function totals(sums) {
    return tiles([
        ['Turns', count(sums.requests), null, sums.errors ? `${count(sums.errors)} failed or refused` : 'none failed'],
        ['Cost', money(sums.cost_usd), null, unknownCosts(sums)],
        ['Tokens', compact(tokens(sums)), null, `${compact(sums.output_tokens)} of them output`],
        ['Cache-read share', share(sums.cache_read_share), null, 'of the input'],
    ]);
}

function of(sums) {
    return [
        ['Conversation', h('span', { class: 'mono' }, sums.id)],
        ['Part of', sums.parent && link('/dashboard/conversation', { id: sums.parent }, h('span', { class: 'mono' }, sums.parent))],
        ['Key', sums.key],
        ['Tenant', sums.tenant],
        ['User', sums.user],
        ['Session', sums.session && h('span', { class: 'mono' }, sums.session)],
        ['Domain', sums.domain],
        ['Latest model', sums.model],
        ['First request', moment(sums.first_request_at)],
        ['Latest request', moment(sums.last_request_at)],
    ];
}

/// The tokens by class, as a bar with its figures.
export function tokenSplit(row) {
    if (!tokens(row)) return h('p', { class: 'hint' }, 'No tokens were reported.');
    return h('div', {}, key(TOKENS.map(([name, field, series]) => [name, series, count(row[field])])), split(TOKENS.map(([name, field, series]) => [name, row[field] ?? 0, series])));
}

function turnTable(turns) {
    const place = new Map(turns.map((turn, at) => [turn.id, at + 1]));
    const hasBranches = turns.some(turn => turn.branch > 0);
    return table('Turns of the conversation, oldest first', [
        { head: 'Turn', kind: 'nowrap', cell: turn => link('/dashboard/call', { id: turn.id }, `${place.get(turn.id)} · ${time(turn.created_at)}`) },
        ...(hasBranches ? [{ head: 'Branch', kind: 'nowrap', hint: 'A turn that goes on from an earlier one than the last begins a branch', cell: turn => branch(turn, place) }] : []),
        { head: 'Outcome', kind: 'nowrap', cell: turn => [outcome(turn), reason(turn)] },
        { head: 'Model', kind: 'text', cell: model },
        { head: 'Rule', kind: 'text', hint: 'The rule of model_router that chose the model', cell: turn => (turn.rule ? clip(turn.rule) : null) },
        { head: 'Tokens', kind: 'number', cell: turn => [compact(tokens(turn)), tokens(turn) ? tokenBar(turn) : null] },
        { head: 'Output', kind: 'number', cell: turn => count(turn.output_tokens) },
        { head: 'Cache read', kind: 'number', hint: "The part of the input that the provider's prompt cache had", cell: turn => share(turn.cache_read_share) },
        { head: 'Cost', kind: 'number', cell: cost },
        { head: 'First token', kind: 'number wide', cell: turn => milliseconds(turn.first_token_ms) },
        { head: 'Took', kind: 'number', cell: turn => milliseconds(turn.response_time_ms) },
    ], turns, { cards: true, none: 'No turns.' });
}

function branch(turn, place) {
    const from = place.get(turn.previous);
    return [badge(turn.branch ? `branch ${turn.branch}` : 'main', turn.branch ? 'warn' : ''), from ? h('div', { class: 'muted' }, `after turn ${from}`) : null];
}

