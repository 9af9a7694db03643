// The login form leads back to the page that was asked for. A link from another site comes here without the cookie of the session, which
// browsers keep back then: if there is a session after all, the page is asked for again, from here.

const { pathname, search } = location;
const isForm = pathname === '/dashboard/login';
const next = document.querySelector('input[name=next]');
const RETRIED = 'tollgate-asked-again';

if (isForm) {
    // shown again with a message: the page that was asked for is still known
    next.value = sessionStorage.getItem('tollgate-next') ?? '/dashboard';
} else {
    next.value = pathname + search;
    sessionStorage.setItem('tollgate-next', next.value);
    const last = Number(sessionStorage.getItem(RETRIED) ?? 0);
    if (Date.now() - last > 10_000) {
        const response = await fetch('/dashboard/api/session', { cache: 'no-store' });
        if (response.ok) {
            sessionStorage.setItem(RETRIED, String(Date.now()));
            location.replace(pathname + search);
        }
    }
}
