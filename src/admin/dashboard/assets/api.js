// Asks the gateway for figures.

const PATIENCE = 20_000;

/// Which ledger is shown, where a configuration has several: a parameter of all pages.
const LEDGER = new URLSearchParams(location.search).get('ledger');

/// Why there are no figures.
export class ApiError extends Error {
    constructor(status, kind, message) {
        super(message);
        this.status = status;
        this.kind = kind;
    }
}

/// The answer of a path below `/dashboard/api/`. A session that is over leads to the login form.
export async function get(path, params, signal) {
    const search = new URLSearchParams(Object.entries({ ...params, ledger: LEDGER }).filter(([, value]) => value !== undefined && value !== null));
    const url = `/dashboard/api/${path}${search.size ? `?${search}` : ''}`;
    const limits = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
    let response;
    try {
        response = await fetch(url, { cache: 'no-store', headers: { accept: 'application/json' }, signal: AbortSignal.any(limits) });
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new ApiError(0, 'unreachable', error.name === 'TimeoutError' ? 'The gateway does not answer.' : 'The gateway cannot be reached.');
    }
    if (response.status === 401) location.reload();
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body;
    throw new ApiError(response.status, body.error ?? 'failed', body.message ?? `The gateway answered ${response.status}.`);
}

/// What to tell of an error, in a sentence.
export function explain(error) {
    if (error.kind === 'unavailable') return `The ledger's database cannot be read: ${error.message}`;
    if (error.kind === 'timeout') return `The database took too long. Choose a shorter span. (${error.message})`;
    if (error.kind === 'busy') return 'Too many people ask the database right now. Try again in a moment.';
    return error.message;
}
