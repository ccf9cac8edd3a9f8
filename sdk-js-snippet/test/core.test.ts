import { beforeEach, describe, expect, test } from "vitest";
import { type CoreOptions, newCore } from "../src/core/tracker";
import {
  answer,
  fakeDisk,
  type FakePlatform,
  names,
  newTab,
  newWorld,
  OFFLINE,
  OK,
  sent,
  settle,
  type World,
} from "./fakes";

let world: World;
let disk: ReturnType<typeof fakeDisk>;
let tab: FakePlatform;

beforeEach(() => {
  world = newWorld();
  disk = fakeDisk();
  tab = newTab(disk, world);
});

const start = (platform = tab, options: Partial<CoreOptions> = {}) =>
  newCore({ url: "https://collect.example.test", key: "k1", ...options }, platform);

describe("a post", () => {
  test("carries what was tracked within the delay, with ids and times of its making", async () => {
    const core = start();
    core.track("seat_viewed", { series: "X9" });
    await world.pass(400);
    core.page("Rear seats");
    await world.pass(1_000);
    expect(tab.posts).toHaveLength(1);
    const { url, body } = tab.posts[0]!;
    expect(url).toBe("https://collect.example.test/v1/batch?results=1");
    expect(body).toMatchObject({ writeKey: "k1", sentAt: "2026-11-22T04:00:01.000Z", context: tab.device() });
    expect(body.batch[0]).toMatchObject({
      type: "track",
      event: "seat_viewed",
      timestamp: "2026-11-22T04:00:00.000Z",
      properties: { series: "X9" },
      context: { page: { url: "https://shop.example.test/x9" } },
    });
    expect(body.batch[1]).toMatchObject({ type: "page", timestamp: "2026-11-22T04:00:00.400Z" });
    expect(body.batch[0].messageId).not.toBe(body.batch[1].messageId);
    expect(disk.keys().filter((key) => /^[ql]/.test(key))).toEqual([]);
  });

  test("carries texts as they are, signs that mean something to a replacement too", async () => {
    const core = start();
    core.track("coupon_used", { text: "$& $$ $` $' $1" });
    await world.pass(1_000);
    expect(sent(tab)[0].properties).toEqual({ text: "$& $$ $` $' $1" });
  });

  test("that fails keeps its events and their ids, and comes again later and later", async () => {
    tab.answer = () => OFFLINE;
    start().track("a");
    await world.pass(1_000 + 1_000 + 2_000 + 4_000);
    expect(tab.posts).toHaveLength(4);
    expect(new Set(sent(tab).map((event) => event.messageId)).size).toBe(1);
    expect(new Set(tab.posts.map((post) => post.body.sentAt)).size).toBe(4);
    tab.answer = () => OK;
    await world.pass(8_000);
    await world.pass(600_000);
    expect(tab.posts).toHaveLength(5);
  });

  test("that is put off by the collector waits for as long as it says, also when a flush is asked for", async () => {
    tab.answer = () => answer(429, "", 120);
    const core = start();
    core.track("a");
    await world.pass(1_000);
    tab.answer = () => OK;
    await core.flush();
    await world.pass(119_000);
    expect(tab.posts).toHaveLength(1);
    await world.pass(2_000);
    expect(tab.posts).toHaveLength(2);
  });

  test("after an outage that is over waits no longer than the first did", async () => {
    tab.answer = () => OFFLINE;
    const core = start();
    core.track("a");
    await world.pass(60_000);
    tab.answer = () => OK;
    await core.flush();
    tab.answer = () => OFFLINE;
    core.track("b");
    await core.flush();
    const before = tab.posts.length;
    await world.pass(1_000);
    expect(tab.posts).toHaveLength(before + 1);
  });

  test("follows for what was added while the one before came to its end", async () => {
    tab.exclusive = async (work) => {
      await work();
      if (!tab.posts.length) return;
      tab.exclusive = undefined;
      core.track("b");
    };
    const core = start(tab, { batchSize: 1 });
    core.track("a");
    await world.pass(2_000);
    expect(names(tab)).toEqual(["a", "b"]);
  });

  test("that is too large is halved until only the event that is too large goes, and that is told", async () => {
    tab.answer = ({ text }) => (text.includes("huge") ? answer(413) : OK);
    const core = start();
    for (const name of ["a", "b", "huge", "c", "d"]) core.track(name);
    await world.pass(5_000);
    const taken = tab.posts.filter((post) => !post.text.includes("huge")).flatMap((post) => post.body.batch);
    expect(
      taken
        .map((event) => event.event)
        .filter((name) => name != "events_dropped")
        .sort(),
    ).toEqual(["a", "b", "c", "d"]);
    expect(taken.find((event) => event.event == "events_dropped").properties).toEqual({ too_large: 1 });
  });

  test("with one bad event in it is not sent again because of that", async () => {
    tab.answer = ({ body }) => {
      const results = Object.fromEntries(
        body.batch.map((event: any) => [
          event.messageId,
          { result: ({ bad: "drop", busy: "retry" } as any)[event.event] ?? "ok" },
        ]),
      );
      return answer(200, { success: true, results });
    };
    const core = start();
    for (const name of ["good", "bad", "busy"]) core.track(name);
    await world.pass(1_500);
    expect(names(tab)).toEqual(["good", "bad", "busy"]);
    await world.pass(1_000);
    expect(names(tab).slice(3)).toEqual(["busy"]);
  });

  test("that is refused is thrown away, and the developer is told", async () => {
    tab.answer = () => answer(401, '{"code":"unknown_source"}');
    start().track("a");
    await world.pass(600_000);
    expect(tab.posts).toHaveLength(1);
    expect(tab.warnings[0]).toContain("401");
  });

  test("is one of many where many wait, and none is over what a browser lets outlive a page", async () => {
    const core = start();
    for (let n = 0; n < 1_000; n++) core.track("n", { n, text: "后排空间".repeat(50) });
    await world.pass(1_000);
    expect(new Set(sent(tab).map((event) => event.properties.n)).size).toBe(1_000);
    expect(sent(tab)).toHaveLength(1_000);
    for (const post of tab.posts) expect(new TextEncoder().encode(post.text).length).toBeLessThan(64 * 1024);
  });
});

describe("the queue", () => {
  test("outlives the page: what was not answered for is sent by the next one", async () => {
    tab.answer = () => OFFLINE;
    const core = start();
    core.track("before");
    await world.pass(1_000);
    core.leave();
    world.timers.clear();
    const next = newTab(disk, world);
    start(next);
    await world.pass(1_000);
    expect(names(next)).toEqual(["before"]);
    expect(sent(next)[0].messageId).toBe(sent(tab)[0].messageId);
  });

  test("hands to the system what no post carries, and keeps it until it is answered for", async () => {
    let fail = () => {};
    tab.answer = () => new Promise((go) => (fail = () => go(OFFLINE)));
    const core = start();
    core.track("under way");
    await world.pass(1_000);
    core.track("last click");
    core.leave();
    fail();
    await settle();
    world.timers.clear();
    expect(tab.beacons.flatMap((post) => post.body.batch).map((event) => event.event)).toEqual(["last click"]);
    const next = newTab(disk, world);
    start(next);
    await world.pass(1_000);
    expect(names(next).sort()).toEqual(["last click", "under way"]);
  });

  describe("of a page that was left is free at once, even where the page still", () => {
    /** What another tab, that was open all the time, sends when it looks. */
    const takenOver = async () => {
      const other = newTab(disk, world);
      const core = start(other);
      await core.flush();
      return names(other);
    };

    test("gets the lock that it asked for", async () => {
      let grant = () => {};
      tab.exclusive = (work) => new Promise((go) => (grant = () => go(work())));
      const core = start(tab, { batchSize: 1 });
      core.track("a");
      core.leave();
      grant();
      await settle();
      expect(tab.posts).toEqual([]);
      expect(await takenOver()).toEqual(["a"]);
    });

    test("hears that its post arrived", async () => {
      let arrive = () => {};
      tab.answer = () => new Promise((go) => (arrive = () => go(OK)));
      const core = start(tab, { batchSize: 1 });
      for (const name of ["a", "b", "c"]) core.track(name);
      core.leave();
      arrive();
      await settle();
      expect(names(tab)).toEqual(["a"]);
      expect(await takenOver()).toEqual(["b", "c"]);
    });

    test("had a timer that was about to ring", async () => {
      tab.answer = () => OFFLINE;
      const core = start();
      core.track("a");
      await world.pass(999);
      core.leave();
      await world.pass(100);
      expect(tab.posts).toEqual([]);
      expect(await takenOver()).toEqual(["a"]);
    });
  });

  test("of a page that was left and comes back is sent by it, whatever became of the rest", async () => {
    const core = start();
    core.track("a");
    core.leave();
    await world.pass(2_000);
    expect(names(tab)).toEqual(["a"]);
    core.track("b");
    await world.pass(1_000);
    expect(names(tab)).toEqual(["a", "b"]);
  });

  test("of a tab that lives is not touched by another; of one that died it is taken over once", async () => {
    tab.answer = () => OFFLINE;
    start().track("a");
    await world.pass(1_000);
    const [second, third] = [newTab(disk, world), newTab(disk, world)];
    start(second);
    start(third);
    await world.pass(30_000);
    expect(names(second)).toEqual([]);
    for (const timer of world.timers) world.timers.delete(timer);
    world.now += 300_000;
    const [fourth, fifth] = [newTab(disk, world), newTab(disk, world)];
    start(fourth);
    start(fifth);
    await world.pass(2_000);
    expect([...names(fourth), ...names(fifth)]).toEqual(["a"]);
  });

  test("of a tab that slept and was taken over is not sent by it again", async () => {
    tab.answer = () => OFFLINE;
    const core = start();
    core.track("a");
    await world.pass(1_000);
    world.timers.clear();
    world.now += 300_000;
    const other = newTab(disk, world);
    start(other);
    await world.pass(1_000);
    tab.answer = () => OK;
    const before = tab.posts.length;
    await core.flush();
    expect(tab.posts).toHaveLength(before);
    expect(names(other)).toEqual(["a"]);
  });

  test("survives a page that clears the store", async () => {
    const core = start();
    core.track("a");
    disk.map.clear();
    core.track("b");
    await world.pass(1_000);
    expect(names(tab)).toEqual(["a", "b"]);
    expect(sent(tab)[1].anonymousId).toBe(sent(tab)[0].anonymousId);
  });

  test("works in memory where nothing can be stored", async () => {
    tab = newTab(fakeDisk(0), world);
    const core = start();
    core.track("a");
    core.track("b");
    await world.pass(1_000);
    expect(names(tab)).toEqual(["a", "b"]);
    expect(sent(tab)[0].anonymousId).toBe(sent(tab)[1].anonymousId);
  });

  test("that is full lets the oldest go, and says how many as soon as it can", async () => {
    tab.answer = () => OFFLINE;
    const core = start(tab, { maxQueue: 3 });
    for (const name of ["a", "b", "c", "d", "e"]) core.track(name);
    await world.pass(1_000);
    tab.answer = () => OK;
    await core.flush();
    await world.pass(2_000);
    const last = tab.posts.slice(1).flatMap((post) => post.body.batch);
    expect(last.map((event) => event.event)).toEqual(["c", "d", "e", "events_dropped"]);
    expect(last[3].properties).toEqual({ queue_full: 2 });
  });

  test("that is full does not count as lost what is under way", async () => {
    let arrive = () => {};
    tab.answer = () => new Promise((go) => (arrive = () => go(OK)));
    const core = start(tab, { maxQueue: 2, batchSize: 2 });
    for (const name of ["a", "b", "c"]) core.track(name);
    await settle();
    tab.answer = () => OK;
    arrive();
    await world.pass(3_000);
    expect(names(tab)).toEqual(["a", "b", "events_dropped"]);
  });

  test("leaves no traces of tabs that are long gone", async () => {
    disk.set("l.gone", String(world.now - 90_000_000));
    start().track("a");
    await world.pass(2_000);
    expect(disk.keys().sort()).toEqual(["s", "v"]);
  });

  test("lets go what the collector could no longer know again", async () => {
    disk.set("q.gone.m1", JSON.stringify({ messageId: "m1", event: "old", timestamp: "2026-10-20T00:00:00.000Z" }));
    disk.set("q.gone.m2", "not json");
    start().track("a");
    await world.pass(3_000);
    expect(names(tab)).toEqual(["a", "events_dropped"]);
  });
});

describe("the visitor", () => {
  test("is the same in all tabs, signed in in one means in all, and a stranger after a reset", async () => {
    const other = newTab(disk, world);
    const [one, two] = [start(tab), start(other)];
    one.track("a");
    two.identify("YQ1", { city: "上海" }, "00ff");
    one.track("b");
    two.reset();
    one.track("c");
    await world.pass(1_000);
    const [a, b, c] = sent(tab);
    expect(b.userId).toBe("YQ1");
    expect(b.anonymousId).toBe(a.anonymousId);
    expect(c.userId).toBeUndefined();
    expect(c.anonymousId).not.toBe(a.anonymousId);
    expect(sent(other)[0]).toMatchObject({
      type: "identify",
      userId: "YQ1",
      traits: { city: "上海" },
      context: { proof: "00ff" },
    });
  });

  test("has one visit over all tabs until half an hour of silence, and its campaign lasts as long", async () => {
    const other = newTab(disk, world);
    const [one, two] = [start(tab), start(other)];
    tab.here = { campaign: { source: "douyin", click_ids: { clickid: "c1" } } };
    one.page();
    tab.here = {};
    await world.pass(29 * 60_000);
    two.track("b");
    await world.pass(29 * 60_000);
    one.track("c");
    await world.pass(31 * 60_000);
    one.track("d");
    await world.pass(1_000);
    const [a, c, d] = sent(tab);
    const [b] = sent(other);
    expect([b, c].map((event) => event.context.sessionId)).toEqual([a.context.sessionId, a.context.sessionId]);
    expect(c.context.campaign).toEqual({ source: "douyin", click_ids: { clickid: "c1" } });
    expect(d.context.sessionId).not.toBe(a.context.sessionId);
    expect(d.context.campaign).toBeUndefined();
  });
});

describe("consent", () => {
  test("that is required lets nothing be stored or sent before it is given, and then everything", async () => {
    const core = start(tab, { consent: "required" });
    core.page();
    core.identify("YQ1");
    await core.flush();
    await world.pass(60_000);
    core.leave();
    expect(disk.keys()).toEqual([]);
    expect([...tab.posts, ...tab.beacons]).toEqual([]);
    core.consent(true);
    await settle();
    expect(sent(tab).map((event) => event.type)).toEqual(["page", "identify"]);
    const next = newTab(disk, world);
    start(next, { consent: "required" }).track("later");
    await world.pass(1_000);
    expect(sent(next)[0].anonymousId).toBe(sent(tab)[0].anonymousId);
  });

  test("that comes while the network is away has what waited outlive the page", async () => {
    tab.answer = () => OFFLINE;
    const core = start(tab, { consent: "required" });
    core.track("a");
    core.consent(true);
    core.leave();
    await settle();
    world.timers.clear();
    const next = newTab(disk, world);
    start(next, { consent: "required" });
    await world.pass(1_000);
    expect(names(next)).toEqual(["a"]);
  });

  test("that is withdrawn throws away what waits in all tabs and all that is stored", async () => {
    tab.answer = () => OFFLINE;
    const other = newTab(disk, world);
    const [one, two] = [start(tab, { consent: "required" }), start(other, { consent: "required" })];
    one.consent(true);
    two.consent(true);
    one.track("a");
    two.track("b");
    await world.pass(1_000);
    two.consent(false);
    two.track("c");
    one.track("d");
    expect(disk.keys()).toEqual([]);
    tab.answer = () => OK;
    const before = tab.posts.length;
    await world.pass(60_000);
    expect(tab.posts).toHaveLength(before);
    two.consent(true);
    one.track("e");
    await world.pass(2_000);
    expect(
      tab.posts
        .slice(before)
        .flatMap((post) => post.body.batch)
        .map((event) => event.event),
    ).toEqual(["e"]);
    expect(names(other)).not.toContain("c");
  });

  test("that was refused on a page that needs none is remembered", async () => {
    start().consent(false);
    const next = newTab(disk, world);
    start(next).track("a");
    await world.pass(60_000);
    expect(next.posts).toEqual([]);
    expect(disk.keys()).toEqual(["c"]);
  });
});

describe("a lead", () => {
  const form = { contact: { phone: "13812345678" }, consent: { purposes: ["sales_contact"], text_version: "2026-01" } };

  test("comes after the events that led to it, tells who it is, and resolves with its id", async () => {
    tab.answer = ({ url }) => (url.endsWith("/f/k1") ? answer(200, { ok: true, lead: "ld_1" }) : OK);
    tab.here = { page: { url: "https://shop.example.test/x9" }, campaign: { source: "douyin" } };
    const core = start();
    core.identify("YQ1");
    expect(await core.lead(form)).toBe("ld_1");
    expect(tab.posts.map((post) => post.url.replace(/.*test/, ""))).toEqual(["/v1/batch?results=1", "/f/k1"]);
    const { body } = tab.posts[1]!;
    expect(body).toMatchObject({
      contact: form.contact,
      consent: { purposes: ["sales_contact"], text_version: "2026-01", at: "2026-11-22T04:00:00.000Z" },
      anonymousId: core.visitor.person().anonymousId,
      userId: "YQ1",
      campaign: { source: "douyin" },
      context: { page: { url: "https://shop.example.test/x9" } },
    });
    expect([...disk.map.values()].join()).not.toContain("13812345678");
  });

  test("that meets a network error or a busy collector is posted again under the same id", async () => {
    let tries = 0;
    const answers = [OFFLINE, answer(429, "", 1), answer(503), answer(200, { ok: true, lead: "ld_1" })];
    tab.answer = ({ url }) => (url.endsWith("/f/k1") ? answers[tries++]! : OFFLINE);
    const promise = start().lead(form);
    await world.pass(15_000);
    expect(await promise).toBe("ld_1");
    const posts = tab.posts.filter((post) => post.url.endsWith("/f/k1"));
    expect(new Set(posts.map((post) => post.body.messageId)).size).toBe(1);
  });

  test("that is refused names the fields that were wrong", async () => {
    tab.answer = ({ url }) =>
      url.endsWith("/f/k1") ? answer(422, { detail: "Correct it.", errors: [{ path: "contact.phone" }] }) : OK;
    await expect(start().lead(form)).rejects.toMatchObject({ status: 422, errors: [{ path: "contact.phone" }] });
  });

  test("of a visitor without consent to be followed does not tell who it is", async () => {
    tab.answer = () => answer(200, { ok: true, lead: "ld_1" });
    await start(tab, { consent: "required" }).lead(form);
    expect(tab.posts[0]!.body.anonymousId).toBeUndefined();
    expect(disk.keys()).toEqual([]);
  });
});

test("properties that are no JSON lose one event and break nothing", async () => {
  const circle: any = {};
  circle.self = circle;
  const core = start();
  core.track("a", circle);
  core.track("b");
  await world.pass(1_000);
  expect(names(tab)).toEqual(["b"]);
  expect(tab.warnings).toHaveLength(1);
});
