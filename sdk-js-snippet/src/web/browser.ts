/** A browser as a platform of the core. */

import type { Answer, Clock, Store, Transport } from "../core/ports";

/** What localStorage gives, and nothing where it is blocked, which browsers tell by throwing at the first touch. */
export function browserStore(prefix: string): Store {
  const attempt = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch {
      return otherwise;
    }
  };
  return {
    get: (key) => attempt(() => localStorage.getItem(prefix + key), null),
    set: (key, value) => attempt(() => (localStorage.setItem(prefix + key, value), true), false),
    remove: (key) => attempt(() => localStorage.removeItem(prefix + key), undefined),
    keys: () =>
      attempt(() => Object.keys(localStorage), [])
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
  };
}

export const browserClock: Clock = {
  now: () => Date.now(),
  after(delay, work) {
    const timer = setTimeout(work, delay);
    return () => clearTimeout(timer);
  },
};

const TIMEOUT = 30_000;
/** Of all requests together that outlive a page, in bytes; over it a browser refuses to send at all. */
const OUTLIVING = 64 * 1024;

/** Requests of a page that was left before count too, so after a failure one is sent that does not outlive its page. */
let keepalive = true;

export const browserTransport: Transport = {
  async post(url, body) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), TIMEOUT);
    const got: Answer = { status: 0, text: "", retryAfter: 0 };
    try {
      const answer = await fetch(url, {
        method: "POST",
        body,
        credentials: "omit",
        keepalive: keepalive && new Blob([body]).size < OUTLIVING,
        signal: stop.signal,
      });
      got.text = await answer.text();
      got.retryAfter = +answer.headers.get("Retry-After")! || 0;
      got.status = answer.status;
    } catch {
      // No answer, or not all of it: status 0 says so.
    }
    clearTimeout(timer);
    keepalive = !!got.status;
    return got;
  },
  leave: (url, body) => !!navigator.sendBeacon && navigator.sendBeacon(url, body),
};

/** Not crypto.randomUUID, which pages without https do not have. */
export function newId(): string {
  return "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16),
  );
}

/** Whether a program drives this browser: one that says so, or whose name does. */
export function isRobot(): boolean {
  return navigator.webdriver || /bot\b|crawl|spider|headless/i.test(navigator.userAgent);
}
