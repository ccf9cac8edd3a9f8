/**
 * Empties the queue, a batch after the other, and tries again later where that may help.
 *
 * An event leaves the queue when the collector has answered for it, and only then: it may so be sent twice, and is
 * stored once, for the collector knows its messageId.
 */

import { parsed } from "./json";
import type { Answer, Platform } from "./ports";
import type { Queue, Waiting } from "./queue";

/** Why an event was given up: the queue was full, or it was too old; the collector refused it; it is too large. */
export type Loss = "queue_full" | "refused" | "too_large";

export interface SenderOptions {
  url: string;
  key: string;
  /** Events in one post. */
  batchSize: number;
  /** From the first event that waits until the post, in milliseconds. */
  batchDelay: number;
}

export interface Sender {
  /** An event was added: send soon. */
  soon(): void;
  /** Send all that waits; resolves when that is done or has to be tried again later. Never rejects. */
  now(): Promise<void>;
  /** The page is being left: hand over what no post carries. */
  leave(): void;
}

/** What the collector says of each event, by its id. */
interface Told {
  results?: Record<string, { result?: "ok" | "drop" | "retry" }>;
}

declare const TABS: boolean;

/** Browsers let no more than 64 KiB outlive a page, all requests together. */
const BYTES = 60_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;

/** `lost` is told of what was given up, `sent` of each post that the collector took. `allowed` is asked before each. */
export function newSender(
  platform: Platform,
  queue: Queue,
  options: SenderOptions,
  allowed: () => boolean,
  lost: (why: Loss, events: number) => void,
  sent: () => void,
): Sender {
  const { clock, transport } = platform;
  const url = options.url + "/v1/batch?results=1";
  let size = options.batchSize;
  let failures = 0;
  /** The collector asked not to be asked before. */
  let notBefore = 0;
  let running: Promise<void> | null = null;
  let cancel: (() => void) | null = null;
  let due = 0;
  /**
   * A page that is gone still gets the lock it asked for and hears what became of its post. Neither may make it seem
   * alive: what it left would wait two minutes for a tab to take it over.
   */
  let left = false;

  const body = (batch: Waiting[]) =>
    JSON.stringify({
      writeKey: options.key,
      sentAt: new Date(clock.now()).toISOString(),
      context: platform.device(),
    }).slice(0, -1) + `,"batch":[${batch.map((item) => item.text)}]}`;

  const later = (wait: number) => {
    if (!cancel) {
      if (TABS) due = clock.now() + wait;
      cancel = clock.after(wait, () => {
        cancel = null;
        sender.now();
      });
    }
    queue.lease(left ? null : due - clock.now());
  };

  const retry = (answer: Answer) => {
    const most = Math.min(FIRST_WAIT * 2 ** failures++, LONGEST_WAIT);
    const wait = Math.max(most * (0.5 + platform.random() / 2), answer.retryAfter * 1000);
    if (answer.retryAfter) notBefore = clock.now() + wait;
    later(wait);
  };

  /** Whether to go on with the next batch. */
  const post = async (batch: Waiting[]): Promise<boolean> => {
    batch.forEach((item) => (item.flying = true));
    const answer = await transport.post(url, body(batch));
    batch.forEach((item) => (item.flying = false));
    const { status } = answer;
    if (status >= 200 && status < 300) {
      const results = parsed<Told>(answer.text, {}).results || {};
      const result = (item: Waiting) => (results[item.id] || {}).result;
      const done = batch.filter((item) => result(item) != "retry");
      const refused = done.filter((item) => result(item) == "drop").length;
      queue.remove(done);
      if (refused) lost("refused", refused);
      size = options.batchSize;
      if (done.length < batch.length) {
        retry(answer);
        return false;
      }
      failures = 0;
      sent();
      return true;
    }
    if (status == 413 && batch.length > 1) {
      size = batch.length >> 1;
      return true;
    }
    if (!status || status == 408 || status == 429 || status >= 500) {
      retry(answer);
      return false;
    }
    queue.remove(batch);
    lost(status == 413 ? "too_large" : "refused", batch.length);
    platform.warn(`${batch.length} events were refused with ${status}: ${answer.text.slice(0, 300)}`);
    return true;
  };

  const empty = async () => {
    if (TABS && left) return;
    queue.adopt();
    while (!TABS || !left) {
      if (TABS) queue.lease(0);
      const batch = allowed() ? queue.first(size, BYTES) : [];
      if (!batch.length || !(await post(batch))) return;
    }
  };

  const sender: Sender = {
    soon() {
      if (!allowed()) return;
      if ((TABS && left) || failures || queue.size() < options.batchSize) later(options.batchDelay);
      else sender.now();
    },
    now() {
      left = false;
      if (running) return running;
      if (cancel) cancel();
      cancel = null;
      const wait = notBefore - clock.now();
      if (wait > 0) {
        later(wait);
        return Promise.resolve();
      }
      const work = TABS && platform.exclusive ? platform.exclusive(empty) : empty();
      return (running = work
        .catch((fault) => platform.warn(String(fault)))
        .then(() => {
          running = null;
          // What was added after the last look at the queue.
          if (queue.size()) sender.soon();
        }));
    },
    leave() {
      left = true;
      if (!TABS) return;
      const batch = allowed() ? queue.first(1 / 0, BYTES) : [];
      if (batch.length) transport.leave(url, body(batch));
      // What still runs by then is a page that came back.
      if (cancel) cancel();
      cancel = null;
      later(FIRST_WAIT);
    },
  };
  return sender;
}
