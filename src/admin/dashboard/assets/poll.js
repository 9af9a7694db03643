// Repeats work while the page is seen: at a steady pace, more rarely while it fails, not at all while it is hidden or paused.

const LONGEST = 30_000;

export class Poll {
    #work;
    #every;
    #wait;
    #timer = null;
    #isRunning = false;
    #isPaused = false;
    #stopped;

    /// `work(signal)` is called every so many milliseconds; `failed(error, again)` is told of errors and of the time until the next try.
    constructor(work, every, failed) {
        this.#work = work;
        this.#every = this.#wait = every;
        this.failed = failed;
        this.#stopped = new AbortController();
        document.addEventListener('visibilitychange', () => this.#visible(), { signal: this.#stopped.signal });
        this.#now();
    }

    get isPaused() {
        return this.#isPaused;
    }

    set isPaused(paused) {
        this.#isPaused = paused;
        this.#visible();
    }

    stop() {
        this.#stopped.abort();
        clearTimeout(this.#timer);
    }

    #visible() {
        clearTimeout(this.#timer);
        if (!document.hidden && !this.#isPaused) this.#now();
    }

    async #now() {
        if (this.#isRunning || this.#stopped.signal.aborted) return;
        this.#isRunning = true;
        try {
            await this.#work(this.#stopped.signal);
            this.#wait = this.#every;
        } catch (error) {
            if (this.#stopped.signal.aborted) return;
            this.#wait = Math.min(Math.max(this.#wait * 2, 2000), LONGEST);
            this.failed(error, this.#wait);
        } finally {
            this.#isRunning = false;
        }
        clearTimeout(this.#timer);
        if (!document.hidden && !this.#isPaused) this.#timer = setTimeout(() => this.#now(), this.#wait);
    }
}
