// The form above a list. What it says stands in the address: links can be shared, and the back button takes a filter back.

import { h } from './dom.js';

/// A form of fields `{ name, label, type, options, hint }`; `type` is `text`, `select`, `check` or a type of input. Each change calls
/// `go(params)`. `set(params)` shows what the address says, `offer(name, values)` suggests values.
export function filters(fields, go) {
    let params = {};
    const inputs = new Map();
    const chips = h('div', { class: 'chips' });
    const labels = fields.map(field => {
        const input = control(field);
        inputs.set(field.name, input);
        if (field.type === 'check') return h('label', { class: 'check' }, input, field.label);
        return h('label', {}, field.label, input, field.suggests ? h('datalist', { id: `${field.name}-values` }) : null);
    });
    const form = h('form', { class: 'filters', role: 'search', 'aria-label': 'Filters', on: { change, submit } }, labels);

    function control({ name, type = 'text', options, suggests, hint }) {
        if (type === 'select') return h('select', { name }, options.map(([value, text]) => h('option', { value }, text)));
        if (type === 'check') return h('input', { name, type: 'checkbox' });
        return h('input', { name, type, list: suggests ? `${name}-values` : null, placeholder: hint, autocomplete: 'off', spellcheck: 'false' });
    }

    function submit(event) {
        event.preventDefault();
        change();
    }

    function change() {
        const next = { ...params, after: undefined };
        for (const field of fields) {
            const input = inputs.get(field.name);
            const value = field.type === 'check' ? (input.checked ? 'true' : '') : input.value.trim();
            // an empty value that the address has stays until something is chosen: it means rows that have none
            if (value && value !== field.fallback) next[field.name] = value;
            else if (params[field.name] !== '' || value) next[field.name] = undefined;
        }
        go(next);
    }

    function set(now) {
        params = now;
        for (const field of fields) {
            const input = inputs.get(field.name);
            const value = now[field.name] ?? field.fallback ?? '';
            if (field.type === 'check') input.checked = value === 'true';
            else if (document.activeElement !== input || input.value.trim() !== value) input.value = value;
        }
        chips.replaceChildren(...Object.entries(now).map(([name, value]) => chip(name, value)).filter(Boolean));
    }

    /// A filter that the form cannot show: one for rows without a value, or one by a link. The ledger is chosen in the header.
    function chip(name, value) {
        const field = fields.find(one => one.name === name);
        if (name === 'after' || name === 'ledger' || (field && value !== '')) return null;
        const text = `${field?.label ?? name}: ${value === '' ? 'none' : value}`;
        return h('button', { type: 'button', 'aria-label': `Remove the filter ${text}`, on: { click: () => go({ ...params, [name]: undefined, after: undefined }) } }, `${text} ✕`);
    }

    function offer(name, values) {
        const list = form.querySelector(`#${name}-values`);
        list?.replaceChildren(...values.filter(value => value !== null).map(value => h('option', { value })));
    }

    return { element: h('div', {}, form, chips), set, offer };
}

/// The filters that all lists of calls share.
export const CALLER = [
    { name: 'tenant', label: 'Tenant', suggests: true, hint: 'any' },
    { name: 'key', label: 'Key', suggests: true, hint: 'any' },
    { name: 'user', label: 'User', suggests: true, hint: 'any' },
    { name: 'model', label: 'Model', suggests: true, hint: 'any' },
    { name: 'domain', label: 'Domain', suggests: true, hint: 'any' },
];
