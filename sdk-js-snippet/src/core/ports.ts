/**
 * What the core needs of the place where it runs: a browser, a mini-program, a test.
 *
 * The core itself calls nothing global but JSON, Math, Promise and Date's formatting, so that one and the same code
 * runs everywhere. No port may throw: what fails says so by its value, for nothing of ours may break the page.
 */

/** Time and timers. All times are milliseconds since 1970, all durations milliseconds. */
export interface Clock {
  now(): number;
  /** Calls `work` once after `delay`; returns what calls it off. */
  after(delay: number, work: () => void): () => void;
}

/**
 * Small texts that outlive the page, shared by all tabs of an origin; localStorage or its like.
 *
 * The keys that the core uses are short and begin with a letter; an adapter puts its own name before them.
 */
export interface Store {
  /** null where nothing is stored, or where storing is blocked. */
  get(key: string): string | null;
  /** Whether it is stored now: false where storing is blocked or the room is used up. */
  set(key: string, value: string): boolean;
  remove(key: string): void;
  /** All keys of ours, in any order. */
  keys(): string[];
}

/** What came back. */
export interface Answer {
  /** The HTTP status, 0 where no answer came: offline, refused, timed out. */
  status: number;
  /** The body. */
  text: string;
  /** What the header Retry-After says, in seconds; 0 where it says nothing. */
  retryAfter: number;
}

/** The way to the collector. Bodies are JSON that is sent as text/plain, so that no browser asks beforehand. */
export interface Transport {
  /** Posts and resolves with the answer; never rejects. Gives up by itself, as a core that waits sends nothing else. */
  post(url: string, body: string): Promise<Answer>;
  /**
   * Hands a body to the system, to be sent when the page is gone; false where it is not taken. Whether it arrives is
   * never known, so the core keeps what it handed over until a post is answered.
   */
  leave(url: string, body: string): boolean;
}

/** What is known of the moment in which an event happens; `campaign` only where this very page names one. */
export interface Context {
  page?: { url?: string; path?: string; title?: string; referrer?: string };
  campaign?: Campaign;
  [name: string]: unknown;
}

/** Where a visitor came from; `click_ids` as the advertising platform named them, such as `{gclid: "…"}`. */
export interface Campaign {
  source?: string;
  medium?: string;
  name?: string;
  term?: string;
  content?: string;
  click_ids?: Record<string, string>;
}

/** All of the above, in one hand. */
export interface Platform {
  clock: Clock;
  store: Store;
  transport: Transport;
  /** A UUID, of randomness that no two visitors share. */
  newId(): string;
  /** 0 ≤ n < 1, for waits that differ between visitors. */
  random(): number;
  /** Of one event, asked when it is tracked. */
  context(): Context;
  /** Of all events of this device, sent once a batch: library {name, version}, locale, timezone, screen. */
  device(): Record<string, unknown>;
  /**
   * Does the work while no other tab of this origin does its own; it may have to wait. Left out where there are no
   * tabs or no locks: then two tabs may, rarely, send the same event, which the collector stores once.
   */
  exclusive?(work: () => Promise<void>): Promise<void>;
  /** Tells a developer, in the console. */
  warn(sentence: string): void;
}
