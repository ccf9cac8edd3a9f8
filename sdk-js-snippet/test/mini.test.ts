import { beforeEach, describe, expect, test } from "vitest";
import { type MiniOptions, newTracker } from "../src/mini/index";
import { newPhone, type Phone } from "./wx";

let phone: Phone;
beforeEach(() => {
  phone = newPhone();
});

const start = (options: Partial<MiniOptions> = {}) =>
  newTracker({ url: "https://collect.example.test", key: "k1", batchDelay: 60_000, ...options });
const LAUNCH = { path: "pages/s6/space", scene: 1047, query: { utm_source: "qrcode", utm_campaign: "%E8%BD%A6%E5%B1%95" } };
const sent = () => phone.asked.flatMap((asked) => asked.body.batch);
const settled = () => new Promise<void>((go) => setTimeout(go, 20));

describe("a program", () => {
  test("that is launched, opens a page and is hidden tells so, and sends when it is hidden", async () => {
    start();
    phone.launch(LAUNCH);
    phone.open("pages/s6/space", LAUNCH.query);
    expect(phone.asked).toEqual([]);
    phone.hide();
    await settled();
    expect(sent().map((event) => event.event || event.type)).toEqual(["app_opened", "session_started", "page", "app_closed"]);
    expect(sent()[0]).toMatchObject({
      properties: { scene: 1047, path: "pages/s6/space" },
      context: { page: { path: "/pages/s6/space" }, campaign: { source: "qrcode" } },
    });
    expect(phone.asked[0]).toMatchObject({
      url: "https://collect.example.test/v1/batch?results=1",
      body: {
        writeKey: "k1",
        context: {
          library: { name: "xunji-mini", version: "1.0.0" },
          app: { namespace: "wxa1b2" },
          os: { name: "iOS", version: "17.0" },
          device: { model: "iPhone 15" },
        },
      },
    });
    expect(sent()[2].context).toMatchObject({
      page: { url: "/pages/s6/space?utm_source=qrcode&utm_campaign=%E8%BD%A6%E5%B1%95", path: "/pages/s6/space" },
      campaign: { source: "qrcode", name: "车展" },
    });
    expect(sent()[3].context.campaign).toEqual({ source: "qrcode", name: "车展" });
  });

  test("hears its own handlers as before, whatever ours do", () => {
    const heard: unknown[] = [];
    start();
    (globalThis as any).wx.setStorageSync = () => {
      throw new Error("full");
    };
    phone.launch(LAUNCH, { onLaunch: ({ scene }) => heard.push(scene) });
    const page = phone.open("pages/a", {}, {
      onShow() {
        heard.push((this as any).route);
      },
      onShareAppMessage: () => undefined,
    });
    expect(heard).toEqual([1047, "pages/a"]);
    expect(page("onShareAppMessage").path).toContain("pages/a?xunji_share=1.");
  });
});

describe("a post", () => {
  test("that is answered 500 counts as failed, although WeChat calls it a success", async () => {
    phone.status = 500;
    const tracker = start();
    tracker.track("seat_viewed");
    await tracker.flush();
    expect(phone.asked).toHaveLength(1);
    phone.status = 200;
    await tracker.flush();
    await tracker.flush();
    expect(phone.asked).toHaveLength(2);
    expect(sent()[0].messageId).toBe(sent()[1].messageId);
  });

  test("that fails within the program, which put something of its own before requests, is made again", async () => {
    const { wx } = globalThis as any;
    const { request } = wx;
    wx.request = () => {
      throw new TypeError("no object");
    };
    const tracker = start();
    tracker.track("seat_viewed");
    await tracker.flush();
    wx.request = request;
    await tracker.flush();
    expect(sent().map((event) => event.event)).toEqual(["seat_viewed"]);
  });

  test("that was put off with Retry-After is not asked again before", async () => {
    Object.assign(phone, { status: 429, header: { "Retry-After": "30" } });
    const tracker = start();
    tracker.track("seat_viewed");
    await tracker.flush();
    await tracker.flush();
    expect(phone.asked).toHaveLength(1);
  });

  test("that never was made is made by the next program, by the same visitor", async () => {
    phone.status = 0;
    const tracker = start();
    tracker.track("seat_viewed");
    await tracker.flush();
    const [lost] = sent();
    // Of another source, whose tracker brings it away itself.
    phone.storage.set("xunji.k2.q.owner.id", "{}");
    phone = newPhone(phone.storage);
    const next = start();
    next.track("rear_viewed");
    await next.flush();
    expect(sent().map((event) => event.event).sort()).toEqual(["rear_viewed", "seat_viewed"]);
    expect(new Set(sent().map((event) => event.anonymousId))).toEqual(new Set([lost.anonymousId]));
    await next.flush();
    expect([...phone.storage.keys()].filter((key) => key.includes(".q."))).toEqual(["xunji.k2.q.owner.id"]);
    expect(sent()).toHaveLength(2);
  });
});

test("a page that is shared carries how far it has come and who shared it", async () => {
  const tracker = start();
  phone.launch({ path: "pages/s6", scene: 1007, query: { xunji_share: "2.friend" } });
  const page = phone.open("pages/s6", { trim: "max", xunji_share: "2.friend" }, {
    onShareAppMessage: () => ({ title: "S6" }),
    onShareTimeline: () => ({ query: "trim=max" }),
  });
  const { anonymousId } = (await tracker.flush(), sent()[0]);
  expect(page("onShareAppMessage")).toEqual({ title: "S6", path: `/pages/s6?trim=max&xunji_share=3.${anonymousId}` });
  expect(page("onShareTimeline").query).toBe(`trim=max&xunji_share=3.${anonymousId}`);
  await tracker.flush();
  expect(sent()[0].properties).toMatchObject({ share_depth: 2, shared_by: "friend" });
  expect(sent().filter((event) => event.event == "shared").map((event) => event.properties.share_depth)).toEqual([3, 3]);
});

test("who opens a friend's card while the program is in the background is as far from the first as the card says", async () => {
  const tracker = start();
  phone.launch({ path: "pages/index", scene: 1001, query: {} });
  phone.hide();
  phone.show({ path: "pages/s6", scene: 1007, query: { xunji_share: "4.friend" } });
  phone.show({ path: "pages/index", scene: 1089, query: {} });
  const page = phone.open("pages/s6", {}, { onShareAppMessage: () => ({ title: "S6" }) });
  expect(page("onShareAppMessage").path).toContain("xunji_share=5.");
  await tracker.flush();
  const shown = sent().filter((event) => event.event == "session_started");
  expect(shown.map((event) => event.properties.share_depth)).toEqual([0, 4, 4]);
  expect(shown[1].properties.shared_by).toBe("friend");
});

test("what a share is resolved with later carries the mark too", async () => {
  start();
  const page = phone.open("pages/s6", {}, {
    onShareAppMessage: (how: string) =>
      how == "async"
        ? Promise.resolve({ title: "S6", path: "/pages/a?b=c" })
        : { path: "/pages/a", promise: Promise.resolve({ title: "S6" }) },
  });
  const { path, promise } = page("onShareAppMessage");
  const later = { title: "S6", path };
  expect(path).toMatch(/^\/pages\/a\?xunji_share=1\.\w+$/);
  expect(await promise).toEqual(later);
  expect((await page("onShareAppMessage", "async")).path).toMatch(/^\/pages\/a\?b=c&xunji_share=1\.\w+$/);
});

test("a page that says nothing of the timeline is shared there with its own parameters", () => {
  start();
  const opened = (query: Record<string, string>) => phone.open("pages/s6", query, { onShareTimeline: () => ({}) });
  expect(opened({ trim: "max" })("onShareTimeline").query).toMatch(/^trim=max&xunji_share=1\.\w+$/);
  expect(opened({})("onShareTimeline").query).toMatch(/^&xunji_share=1\.\w+$/);
});

test("a page that is open twice tells each time with what it was opened", async () => {
  const tracker = start();
  const file = phone.page();
  const first = phone.open("pages/s6", { trim: "max" }, file);
  phone.open("pages/s6", { trim: "pro" }, file);
  first("onShow");
  await tracker.flush();
  expect(sent().map((event) => event.context.page.url)).toEqual(["max", "pro", "max"].map((trim) => "/pages/s6?trim=" + trim));
});

test("pages that are made as components are viewed once, and components that are only on them are none", async () => {
  const tracker = start();
  const heard: string[] = [];
  const methods = { onShow: () => heard.push("own") };
  const [made, tabBar] = [phone.component({ methods }), phone.component({ methods })];
  phone.open("pages/a", { b: "c" }, made);
  const shared = phone.open("pages/b", {}, phone.component({
    methods: { onShareAppMessage: () => ({}) },
    pageLifetimes: { show: () => heard.push("lifetime") },
  }));
  tabBar({}).onShow!();
  await tracker.flush();
  expect(sent().map((event) => event.context.page.url)).toEqual(["/pages/a?b=c", "/pages/b"]);
  expect(heard).toEqual(["own", "lifetime", "own"]);
  expect(shared("onShareAppMessage").path).toContain("/pages/b?xunji_share=1.");
});

test.each([
  ["that WeChat drew", { scene: "utm_source%3Dexpo%26utm_term%3Dsh" }],
  ["that is a printed link", { q: "https%3A%2F%2Fcars.example.test%2Fs6%3Fid%3D1%26utm_source%3Dexpo%26utm_term%3D%2573h" }],
])("a code %s tells its campaign", async (_, query) => {
  const tracker = start();
  phone.launch({ path: "pages/s6", scene: 1047, query: query as any });
  await tracker.flush();
  expect(sent()[0].context.campaign).toEqual({ source: "expo", term: "sh" });
  expect(sent()[0].context.page.url).toBe("/pages/s6?" + Object.entries(query).map((each) => each.join("=")));
});

test("before a base library that knows the device by its own call, an older one tells it", async () => {
  const { wx } = globalThis as any;
  Object.assign(wx, { getDeviceInfo: undefined, getAppBaseInfo: undefined });
  wx.getSystemInfoSync = () => ({ model: "MI 8", system: "Android 10", language: "zh_CN" });
  const tracker = start();
  tracker.track("seat_viewed");
  await tracker.flush();
  expect(phone.asked[0]!.body.context).toMatchObject({ os: { name: "Android", version: "10" }, device: { model: "MI 8" } });
});

test("what the team's login learnt of the visitor is said as identifiers", async () => {
  const tracker = start();
  tracker.wechat({ appid: "wxa1b2", openid: "oAbc", unionid: "oUni" });
  tracker.wechat({ appid: "wxa1b2", openid: "oAbc" });
  // As from JavaScript, where the answer of a login that failed has neither.
  tracker.wechat({ appid: "wxa1b2", openid: undefined! });
  await tracker.flush();
  const [both, one, none] = sent();
  expect(both).toMatchObject({
    type: "identify",
    identifiers: [
      { kind: "wx_openid", value: "wxa1b2/oAbc" },
      { kind: "wx_unionid", value: "oUni" },
    ],
  });
  expect(one.identifiers[1]).toEqual({ kind: "wx_unionid" });
  expect(none.identifiers.map((each: any) => each.value)).toEqual([undefined, undefined]);
});

test("before consent nothing is stored or sent, and a share tells nobody who shared it", async () => {
  const tracker = start({ consent: "required" });
  phone.launch(LAUNCH);
  const page = phone.open("pages/s6", {}, { onShareAppMessage: () => ({ path: "/pages/s6" }) });
  expect(page("onShareAppMessage").path).toBe("/pages/s6");
  phone.hide();
  await settled();
  expect([phone.asked.length, phone.storage.size]).toEqual([0, 0]);
  tracker.consent(true);
  await tracker.flush();
  expect(sent().map((event) => event.event || event.type)).toContain("app_opened");
});

test("a program that clears its storage keeps its visitor, and what they agreed to until it ends", async () => {
  const tracker = start({ consent: "required" });
  tracker.consent(true);
  await settled();
  tracker.track("seat_viewed");
  phone.storage.clear();
  tracker.track("rear_viewed");
  await tracker.flush();
  expect(sent().map((event) => event.event)).toEqual(["seat_viewed", "rear_viewed"]);
  expect(new Set(sent().map((event) => event.anonymousId)).size).toBe(1);
  phone = newPhone(phone.storage);
  const next = start();
  next.track("rear_viewed");
  await next.flush();
  const [again] = sent();
  expect([...phone.storage.values()].join()).toContain(again.anonymousId);
});
