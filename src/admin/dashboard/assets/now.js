// The view `now`: what happens at this moment, brought up to date about once a second.

import { ApiError, explain, get } from './api.js';
import { CALLS } from './calls-table.js';
import { card, fill, h, link } from './dom.js';
import { filters } from './filters.js';
import { LocalMinutes } from './local-minutes.js';
import { figures } from './now-figures.js';
import { gatewayParts } from './now-gateway.js';
import { Poll } from './poll.js';
import { table } from './table.js';

export const title = 'Now';

/// Calls are there about 0.2 s after their end, so that one is seen within a second.
const CALLS_EVERY = 700;
const GATEWAY_EVERY = 1000;
const MINUTES_EVERY = 2000;
const SPANS = [['15', '15 minutes'], ['60', '60 minutes'], ['180', '3 hours']];

export function view(root, go) {
    const form = filters([{ name: 'minutes', label: 'Shown', type: 'select', options: SPANS, fallback: '60' }], go);
    const state = h('span', { class: 'state' });
    const pause = h('button', { type: 'button', 'aria-pressed': 'false', on: { click: toggle } }, 'Pause');
    const trouble = h('div', { class: 'notices', role: 'alert' });
    const parts = figures();
    const gateway = gatewayParts();
    const calls = h('div');
    const last = card('Last calls', null, calls, h('p', { class: 'pages' }, link('/dashboard/calls', {}, 'All calls'), link('/dashboard/calls', { errors: 'true' }, 'Failed calls')));
    root.append(
        h('div', { class: 'head' }, h('h1', {}, title), state, form.element, pause),
        h('div', { class: 'stack' }, trouble, gateway.notices, parts.tiles, parts.charts, last, parts.tables, gateway.servers, gateway.rest),
    );

    const local = new LocalMinutes();
    const failures = new Map();
    let minutes = '60';
    let polls = [];
    let hasLedger = true;

    function poll(name, work, every) {
        const done = async signal => {
            await work(signal);
            failures.delete(name);
            show();
        };
        return new Poll(done, every, error => {
            failures.set(name, explain(error));
            show();
        });
    }

    function show() {
        fill(trouble, [...new Set(failures.values())].map(text => h('p', { class: 'notice bad' }, `${text} What is shown is not up to date.`)));
    }

    async function askGateway(signal) {
        const seen = await get('gateway', {}, signal);
        local.add(seen);
        gateway.show(seen);
        if (!hasLedger) parts.show(local.figures(Number(minutes)), seen);
        parts.gateway(seen);
        fill(state, `${seen.state} · version ${seen.version} · ${new Date(seen.at).toISOString().slice(11, 19)} UTC`);
    }

    async function askMinutes(signal) {
        try {
            parts.show(await get('now', { minutes }, signal));
            hasLedger = true;
        } catch (error) {
            // without a ledger the gateway's own counters serve, from the time when the page was opened
            if (!(error instanceof ApiError && [404, 503].includes(error.status))) throw error;
            hasLedger = false;
        }
    }

    async function askCalls(signal) {
        try {
            const { calls: rows } = await get('calls', { limit: 15 }, signal);
            fill(calls, table('The last calls, newest first', CALLS, rows, { cards: true, none: 'No calls in the last 24 hours.' }));
        } catch (error) {
            if (!(error instanceof ApiError && [404, 503].includes(error.status))) throw error;
            fill(calls, h('p', { class: 'empty' }, error.status === 404 ? 'Calls are listed where the plugin usage_log keeps them.' : explain(error)));
        }
    }

    function toggle() {
        const paused = !polls[0]?.isPaused;
        for (const one of polls) one.isPaused = paused;
        pause.textContent = paused ? 'Go on' : 'Pause';
        pause.setAttribute('aria-pressed', String(paused));
    }

    return async function show(params) {
        form.set(params);
        minutes = params.minutes ?? '60';
        for (const one of polls) one.stop();
        polls = [poll('gateway', askGateway, GATEWAY_EVERY), poll('minutes', askMinutes, MINUTES_EVERY), poll('calls', askCalls, CALLS_EVERY)];
        pause.textContent = 'Pause';
        pause.setAttribute('aria-pressed', 'false');
    };
}

