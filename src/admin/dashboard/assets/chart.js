// Charts over time by uPlot, each with a summary and a table of what it shows. Several series are stacked.

import { fill, h } from './dom.js';
import { key } from './parts.js';
import { table } from './table.js';

/* global uPlot */

const HEIGHT = 208;

/// A chart `{ title, unit, series: [{ name, series }], format, bars }`. Call `show(times, values, labels)` with seconds since 1970, the
/// values of each series, and the name of each time in the table.
export function chart({ title, series, format, head }) {
    const plot = h('div', { class: 'plot', role: 'img', 'aria-label': title });
    const legend = h('div');
    const details = h('div');
    const element = h('figure', {}, legend, plot, h('details', {}, h('summary', {}, `${title} as a table`), details));
    let drawn = null;
    let shown = null;

    function draw() {
        if (!shown || !plot.clientWidth) return;
        const data = [shown.times, ...stacked(shown.values)];
        if (drawn) {
            drawn.setData(data);
        } else {
            drawn = new uPlot(options(plot.clientWidth, shown), data, plot);
        }
    }

    function options(width, { isDays }) {
        const style = getComputedStyle(document.documentElement);
        const colour = name => style.getPropertyValue(`--${name}`).trim();
        const axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
        const bars = uPlot.paths.bars({ size: [0.8, 48], gap: 1 });
        // the highest first, so that the lower ones cover what is not theirs
        const layers = series.map(one => ({ label: one.name, fill: colour(`series-${one.series}`), stroke: colour(`series-${one.series}`), width: 0, paths: bars, points: { show: false } }));
        return {
            width,
            height: HEIGHT,
            padding: [8, 20, 0, 0],
            tzDate: seconds => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
            legend: { show: false },
            cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
            scales: { x: { range: (_, from, to) => [from - shown.step / 2, to + shown.step / 2] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
            axes: [
                { ...axis, values: (_, ticks) => ticks.map(tick => label(tick, isDays)), space: 70, size: 28 },
                { ...axis, values: (_, ticks) => ticks.map(tick => format(tick)), size: 64 },
            ],
            series: [{}, ...layers.reverse()],
            hooks: { setCursor: [({ cursor }) => tell(cursor.idx)] },
        };
    }

    /// The legend has the values of the time under the pointer, else of the last one.
    function tell(at) {
        if (!shown) return;
        const place = at ?? shown.times.length - 1;
        fill(legend, key([...series.map((one, index) => [one.name, one.series, format(shown.values[index][place] ?? 0)])]), h('span', { class: 'visually-hidden' }, shown.labels[place] ?? ''));
    }

    function stacked(values) {
        const sums = new Array(values[0]?.length ?? 0).fill(0);
        return values.map(list => list.map((value, at) => (sums[at] += value ?? 0))).reverse();
    }

    function again() {
        drawn?.destroy();
        drawn = null;
        draw();
    }

    new ResizeObserver(() => {
        if (!drawn) draw();
        else if (plot.clientWidth && drawn.width !== plot.clientWidth) drawn.setSize({ width: plot.clientWidth, height: HEIGHT });
    }).observe(plot);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);

    function show(times, values, labels, { isDays = false } = {}) {
        if (shown && shown.isDays !== isDays) {
            drawn?.destroy();
            drawn = null;
        }
        shown = { times, values, labels, isDays, step: times.length > 1 ? times[1] - times[0] : 60 };
        draw();
        tell(drawn?.cursor.idx);
        const most = times.map((_, at) => values.reduce((sum, list) => sum + (list[at] ?? 0), 0));
        const top = most.indexOf(Math.max(...most));
        plot.setAttribute('aria-label', top < 0 ? title : `${title}: most is ${format(most[top])} at ${labels[top]}, last is ${format(most.at(-1))}. The table below has all values.`);
        const rows = labels.map((name, at) => ({ name, at })).reverse();
        fill(details, table(title, [
            { head, cell: row => row.name, kind: 'nowrap' },
            ...series.map((one, index) => ({ head: one.name, cell: row => format(values[index][row.at] ?? 0), kind: 'number' })),
        ], rows));
    }

    return { element, show };
}

function label(seconds, isDays) {
    const text = new Date(seconds * 1000).toISOString();
    return isDays ? text.slice(5, 10) : text.slice(11, 16);
}
