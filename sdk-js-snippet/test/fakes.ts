/** A platform in memory: time that stands still until it is moved, and a collector that answers as it is told. */

import type { Answer, Context, Platform, Store } from "../src/core/ports";

// As the build for the web sets it.
Object.assign(globalThis, { TABS: true });

export const OK: Answer = { status: 200, text: '{"success":true}', retryAfter: 0 };
export const OFFLINE: Answer = { status: 0, text: "", retryAfter: 0 };

export function answer(status: number, body: unknown = "", retryAfter = 0): Answer {
  return { status, text: typeof body == "string" ? body : JSON.stringify(body), retryAfter };
}

export interface Post {
  url: string;
  text: string;
  body: any;
}

export function fakeDisk(room = Infinity): Store & { map: Map<string, string> } {
  const map = new Map<string, string>();
  return {
    map,
    get: (key) => map.get(key) ?? null,
    set(key, value) {
      if (map.size >= room && !map.has(key)) return false;
      map.set(key, value);
      return true;
    },
    remove: (key) => void map.delete(key),
    keys: () => [...map.keys()],
  };
}

export interface World {
  now: number;
  /** Moves time, running what falls due on the way. */
  pass(ms: number): Promise<void>;
  timers: Set<{ at: number; work: () => void }>;
}

export function newWorld(): World {
  const world: World = {
    now: Date.UTC(2026, 10, 22, 4),
    timers: new Set(),
    async pass(ms) {
      const end = world.now + ms;
      for (;;) {
        await settle();
        const [due] = [...world.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at);
        if (!due) break;
        world.timers.delete(due);
        world.now = Math.max(world.now, due.at);
        due.work();
      }
      world.now = end;
    },
  };
  return world;
}

/** Lets all promises go as far as they can. */
export const settle = () => new Promise<void>((go) => (globalThis as any).setImmediate(go));

export interface FakePlatform extends Platform {
  posts: Post[];
  beacons: Post[];
  warnings: string[];
  /** Answers each post; a promise that never resolves is a post under way. */
  answer: (post: Post) => Answer | Promise<Answer>;
  here: Context;
}

/** A tab; tabs that share a disk and a world are tabs of one browser. */
export function newTab(disk: Store, world: World): FakePlatform {
  let ids = 0;
  const tab = tabs++;
  const post = (url: string, text: string): Post => ({ url, text, body: JSON.parse(text) });
  const fake: FakePlatform = {
    posts: [],
    beacons: [],
    warnings: [],
    answer: () => OK,
    here: { page: { url: "https://shop.example.test/x9" } },
    clock: {
      now: () => world.now,
      after(delay, work) {
        const timer = { at: world.now + delay, work };
        world.timers.add(timer);
        return () => world.timers.delete(timer);
      },
    },
    store: disk,
    transport: {
      async post(url, body) {
        const sent = post(url, body);
        fake.posts.push(sent);
        return fake.answer(sent);
      },
      leave(url, body) {
        fake.beacons.push(post(url, body));
        return true;
      },
    },
    newId: () => `id-${tab}-${ids++}`,
    random: () => 1,
    context: () => ({ ...fake.here }),
    device: () => ({ library: { name: "xunji-test", version: "0" } }),
    warn: (sentence) => void fake.warnings.push(sentence),
  };
  return fake;
}
let tabs = 0;

/** The events of all posts, in the order in which they left. */
export const sent = (tab: FakePlatform): any[] => tab.posts.flatMap((post) => post.body.batch ?? []);
export const names = (tab: FakePlatform): string[] => sent(tab).map((event) => event.event);
