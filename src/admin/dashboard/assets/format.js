// Figures as people read them: grouped digits, units, UTC. What is not known is "unknown", never 0.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

export const UNKNOWN = 'unknown';

/// A count: `12,345`.
export function count(value) {
    return value === null || value === undefined ? '–' : whole.format(value);
}

/// A count with its noun: `1 answer`, `12 answers`.
export function counted(value, noun, nouns = `${noun}s`) {
    return `${count(value)} ${value === 1 ? noun : nouns}`;
}

/// A count in little room: `12.3K`.
export function compact(value) {
    if (value === null || value === undefined) return '–';
    return value < 10 && !Number.isInteger(value) ? tenth.format(value) : value < 10_000 ? whole.format(value) : short.format(value);
}

/// Dollars of a decimal text: to the cent from one dollar on, below it to a hundredth of a cent, below a cent to two digits that count.
export function money(text) {
    if (text === null || text === undefined) return UNKNOWN;
    const value = Number(text);
    if (value === 0) return '$0';
    const size = Math.abs(value);
    const digits = size >= 0.01 ? { minimumFractionDigits: 2, maximumFractionDigits: size >= 1 ? 2 : 4 } : { maximumSignificantDigits: 2 };
    return new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', ...digits }).format(value);
}

/// A share of 1: `81 %`, `0.4 %`.
export function share(value) {
    if (value === null || value === undefined) return '–';
    const percent = value * 100;
    return `${percent !== 0 && Math.abs(percent) < 10 ? tenth.format(percent) : whole.format(percent)} %`;
}

/// Milliseconds: `812 ms`, `2.9 s`, `3 min 20 s`.
export function milliseconds(value) {
    if (value === null || value === undefined) return '–';
    if (value < 1000) return `${value < 10 ? tenth.format(value) : whole.format(value)} ms`;
    return value < 60_000 ? `${tenth.format(value / 1000)} s` : seconds(value / 1000);
}

/// Seconds: `0 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`.
export function seconds(value) {
    if (value === null || value === undefined) return '–';
    if (value < 60) return `${value < 10 ? tenth.format(value) : whole.format(value)} s`;
    const units = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const first = units.findIndex(([size]) => value >= size);
    const [size, unit] = units[first];
    const rest = units[first + 1] && Math.floor((value % size) / units[first + 1][0]);
    return `${whole.format(Math.floor(value / size))} ${unit}${rest ? ` ${rest} ${units[first + 1][1]}` : ''}`;
}

/// Bytes: `1.5 MiB`.
export function bytes(value) {
    if (value === null || value === undefined) return '–';
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    const at = value < 1024 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
    return `${tenth.format(value / 1024 ** at)} ${units[at]}`;
}

/// The time of day of an RFC 3339 text, in UTC: `13:05:07`; with the day where it is not today.
export function time(text) {
    if (!text) return '–';
    const [day, clock] = [text.slice(0, 10), text.slice(11, 19)];
    return day === new Date().toISOString().slice(0, 10) ? clock : `${day} ${clock}`;
}

/// Day and time of an RFC 3339 text, in UTC, with milliseconds.
export function moment(text) {
    return text ? `${text.slice(0, 10)} ${text.slice(11, 23)} UTC` : '–';
}

/// All tokens of a row or a sum; `null` if none of its classes is known.
export function tokens(row) {
    const classes = [row.input_tokens, row.cache_read_input_tokens, row.cache_creation_input_tokens, row.output_tokens];
    const known = classes.filter(value => value !== null && value !== undefined);
    return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

/// The start of an id, enough to tell rows apart at sight: the end of a UUIDv7 is the part that differs.
export function shortId(id) {
    return id ? `…${id.slice(-8)}` : '–';
}
