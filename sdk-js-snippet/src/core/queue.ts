/**
 * Events that wait, in memory and, as far as there is room, in the store, where they outlive the page.
 *
 * Each tab has a queue of its own, for the store has no transactions: nobody else writes under its name. A lease says
 * until when a tab surely lives. When it ran out, or was given back as the page was left, any other tab takes the
 * events over; should the first one wake again, it misses them in the store and lets them be.
 */

import { parsed } from "./json";
import type { Platform, Store } from "./ports";

export interface Waiting {
  /** The messageId. */
  id: string;
  /** The event as JSON. */
  text: string;
  /** Its length in UTF-8, or a little more. */
  bytes: number;
  /** Whether the store has it too. */
  kept: boolean;
  /** Whether a post is under way that carries it. */
  flying?: boolean;
}

export interface Queue {
  size(): number;
  /** Where the queue is full, the oldest event goes. */
  add(id: string, text: string): void;
  /** The oldest that no post carries, up to so many events and bytes, and one at least. */
  first(count: number, bytes: number): Waiting[];
  remove(gone: Waiting[]): void;
  clear(): void;
  /** Puts into the store what is only in memory. */
  save(): void;
  /** Takes over what tabs left that are gone. */
  adopt(): void;
  /** This tab lives for `wait` milliseconds and a while longer; `null`: it is left. */
  lease(wait: number | null): void;
}

/** Characters that one tab's queue may take of the store; browsers give a whole site about five million. */
const ROOM = 1_000_000;
/** Browsers wake a hidden tab once a minute at least, so one that lives renews in time. */
const LEASE = 120_000;
/** The collector knows an id again for 30 days; what is older could be stored twice. */
const DAY = 86_400_000;
const TOO_OLD = 28 * DAY;

/** Set by the build: whether several pages share a store, as tabs do, so that each has to say what is its own. */
declare const TABS: boolean;

/** `max` is the number of events; `owner` an id of this tab, without dots; `lost` is told of each that had to go. */
export function newQueue(platform: Platform, store: Store, owner: string, max: number, lost: () => void): Queue {
  let items: Waiting[] = [];
  let used = 0;
  let leased = false;

  const key = (id: string) => `q.${owner}.${id}`;
  const keep = (item: Waiting) => {
    item.kept = used + item.text.length < ROOM && store.set(key(item.id), item.text);
    if (item.kept) used += item.text.length;
  };
  const drop = (gone: Set<Waiting>) => {
    items = items.filter((item) => !gone.has(item));
    for (const item of gone) {
      if (!item.kept) continue;
      used -= item.text.length;
      store.remove(key(item.id));
    }
  };

  const queue: Queue = {
    size: () => items.length,
    add(id, text) {
      const item = { id, text, bytes: text.replace(/[^\0-\x7f]/g, "xxx").length, kept: false };
      items.push(item);
      keep(item);
      const oldest = items.length > max && items.find((each) => !each.flying);
      if (oldest) {
        drop(new Set([oldest]));
        lost();
      }
    },
    first(count, bytes) {
      const batch: Waiting[] = [];
      const missed = new Set<Waiting>();
      for (const item of items) {
        if (item.flying) continue;
        if (TABS && item.kept && !store.get(key(item.id))) {
          missed.add(item);
          continue;
        }
        bytes -= item.bytes + 1;
        if (batch.length && (bytes < 0 || batch.length >= count)) break;
        batch.push(item);
      }
      if (TABS) drop(missed);
      return batch;
    },
    remove: (gone) => drop(new Set(gone)),
    clear: () => drop(new Set(items)),
    save: () => items.forEach((item) => item.kept || keep(item)),
    adopt() {
      const now = platform.clock.now();
      for (const name of store.keys()) {
        const [kind, other, id] = name.split(".");
        if (other == owner) continue;
        if (TABS) {
          const lease = +store.get("l." + other)!;
          if (lease > now) continue;
          if (kind == "l" && lease < now - DAY) store.remove(name);
        }
        if (kind != "q") continue;
        const text = store.get(name) || "";
        store.remove(name);
        if (now - Date.parse(parsed(text, { timestamp: "" }).timestamp) < TOO_OLD) queue.add(id!, text);
        else lost();
      }
    },
    lease(wait) {
      if (!TABS) return;
      const mine = "l." + owner;
      // Whoever takes over lets the lease be: without it, it was the page that cleared the store.
      if (leased && !store.get(mine)) {
        used = 0;
        items.forEach(keep);
      }
      leased = used > 0 && store.set(mine, String(platform.clock.now() + (wait == null ? 0 : wait + LEASE)));
      if (!leased) store.remove(mine);
    },
  };
  return queue;
}
