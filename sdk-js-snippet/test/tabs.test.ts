/** Many tabs of one browser, whatever happens to them and to the network: nothing is lost, nothing is doubled. */

import { expect, test } from "vitest";
import { type Core, newCore } from "../src/core/tracker";
import { fakeDisk, type FakePlatform, newTab, newWorld, OFFLINE, OK, type World } from "./fakes";

const LIVES = 300;

interface Tab {
  core: Core;
  platform: FakePlatform;
  dead: boolean;
  /** The events of the post that is under way. */
  flying: number[];
}

/** 0 ≤ n < 1, the same for the same seed (mulberry32). */
function chance(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * One life of a browser: how many events were tracked, how often the collector got each, and for which the answer was
 * lost, so that they had to come again.
 */
async function live(seed: number) {
  const random = chance(seed);
  const world: World = newWorld();
  const disk = fakeDisk();
  const got = new Map<number, number>();
  const unanswered = new Set<number>();
  const tabs: Tab[] = [];
  let tracked = 0;
  let network: "up" | "down" | "deaf" = "up";

  const open = () => {
    const platform = newTab(disk, world);
    const tab = { platform, dead: false, flying: [] as number[] } as Tab;
    const { after } = platform.clock;
    platform.clock.after = (delay, work) => after(delay, () => tab.dead || work());
    platform.random = random;
    platform.answer = (post) => {
      if (tab.dead) return new Promise(() => {});
      const steps = post.body.batch.filter((each: any) => each.event == "step").map((each: any) => each.properties.n);
      if (network != "down") for (const n of steps) got.set(n, (got.get(n) || 0) + 1);
      if (network == "deaf") steps.forEach(unanswered.add, unanswered);
      const answer = network == "up" ? OK : OFFLINE;
      tab.flying = steps;
      return new Promise((go) => {
        const work = () => {
          tab.flying = [];
          if (!tab.dead) go(answer);
        };
        world.timers.add({ at: world.now + random() * 900, work });
      });
    };
    tab.core = newCore({ url: "", key: "k", batchSize: 5 }, platform);
    tabs.push(tab);
  };
  const living = () => tabs.filter((tab) => !tab.dead);
  const any = () => living()[Math.floor(random() * living().length)];

  open();
  for (let step = 0; step < 60; step++) {
    const what = random();
    const tab = any();
    if (what < 0.1 || !tab) open();
    else if (what < 0.6) tab.core.track("step", { n: tracked++ });
    else if (what < 0.66) network = random() < 0.5 ? "up" : random() < 0.5 ? "deaf" : "down";
    else if (what < 0.7) tab.core.flush();
    else if (what < 0.74) {
      // Left: what the beacon carries is lost on the way. Sometimes the page comes back.
      tab.flying.forEach(unanswered.add, unanswered);
      tab.core.leave();
      tab.dead = random() < 0.7;
    } else if (what < 0.77) {
      tab.flying.forEach(unanswered.add, unanswered);
      tab.dead = true;
    } else await world.pass(random() < 0.2 ? random() * 400_000 : random() * 3_000);
  }
  network = "up";
  await world.pass(400_000);
  open();
  await world.pass(200_000);
  return { tracked, got, unanswered };
}

test("over hundreds of lives of a browser", async () => {
  for (let seed = 1; seed <= LIVES; seed++) {
    const { tracked, got, unanswered } = await live(seed);
    expect([seed, got.size]).toEqual([seed, tracked]);
    const doubled = [...got].filter(([n, times]) => times > 1 && !unanswered.has(n));
    expect([seed, doubled]).toEqual([seed, []]);
  }
});
