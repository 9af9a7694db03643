// Builds elements. Text goes in as text, never as markup: names of models, hosts and keys come from clients.

/// An element with these attributes and children. `class` and `on` (listeners by event) are attributes; `null` children are left out.
export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name === 'on') {
            for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
        } else if (value === true) {
            element.setAttribute(name, '');
        } else if (value !== false && value !== null && value !== undefined) {
            element.setAttribute(name, String(value));
        }
    }
    element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
    return element;
}

/// A part of a page under a heading.
export function card(title, note, ...children) {
    const heading = h('h2', {}, title, note ? [' ', h('small', {}, note)] : null);
    return h('section', { class: 'card' }, heading, ...children);
}

/// Replaces what an element holds, unless it already shows the same. The focus stays on the link or button with the same address or name,
/// and nothing changes under a selection of text.
export function fill(element, ...children) {
    const next = h('div', {}, ...children);
    if (next.isEqualNode(copyOf(element)) || holdsSelection(element)) return;
    const focused = element.contains(document.activeElement) ? mark(document.activeElement) : null;
    const left = new Map([...element.querySelectorAll('.scroll[aria-label]')].map(box => [box.ariaLabel, box.scrollLeft]));
    const open = [...element.querySelectorAll('details')].map(details => details.open);
    element.replaceChildren(...next.childNodes);
    element.querySelectorAll('details').forEach((details, at) => { details.open = open[at] ?? false; });
    for (const box of element.querySelectorAll('.scroll[aria-label]')) box.scrollLeft = left.get(box.ariaLabel) ?? 0;
    if (focused) {
        [...element.querySelectorAll('a, button, summary, [tabindex]')].find(other => mark(other) === focused)?.focus();
    }
}

function copyOf(element) {
    const copy = h('div');
    copy.append(...element.cloneNode(true).childNodes);
    for (const details of copy.querySelectorAll('details')) details.open = false;
    return copy;
}

function holdsSelection(element) {
    const selection = getSelection();
    return !selection.isCollapsed && element.contains(selection.anchorNode);
}

function mark(element) {
    return `${element.tagName} ${element.getAttribute('href') ?? element.ariaLabel ?? element.textContent}`;
}

/// A link to a page of the dashboard with these parameters.
export function link(path, params, ...children) {
    return h('a', { href: address(path, params) }, ...children);
}

/// The address of a page or a download of the dashboard; parameters that are `undefined` are left out, empty ones are not. The ledger stays the same.
export function address(path, params = {}) {
    const search = new URLSearchParams();
    const ledger = new URLSearchParams(location.search).get('ledger');
    for (const [name, value] of Object.entries({ ...params, ledger })) {
        if (value !== undefined && value !== null) search.set(name, value);
    }
    const text = search.toString();
    return text ? `${path}?${text}` : path;
}
