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
    expect(sent()[0].properties).toMatchObject({ scene: 1047, path: "pages/s6/space" });
    expect(phone.asked[0]).toMatchObject({
      url: "https://collect.example.test/v1/batch?results=1",
      header: { "content-type": "text/plain" },
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
    phone = newPhone(phone.storage);
    const next = start();
    next.track("rear_viewed");
    await next.flush();
    expect(sent().map((event) => event.event).sort()).toEqual(["rear_viewed", "seat_viewed"]);
    expect(new Set(sent().map((event) => event.anonymousId))).toEqual(new Set([lost.anonymousId]));
    await next.flush();
    expect([...phone.storage.keys()].filter((key) => key.includes(".q."))).toEqual([]);
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
  expect(page("onShareTimeline").query).toBe(`xunji_share=3.${anonymousId}&trim=max`);
  await tracker.flush();
  expect(sent()[0].properties).toMatchObject({ share_depth: 2, shared_by: "friend" });
  expect(sent().filter((event) => event.event == "shared").map((event) => event.properties.share_depth)).toEqual([3, 3]);
});

test("what the team's login learnt of the visitor is said as identifiers", async () => {
  const tracker = start();
  tracker.wechat({ appid: "wxa1b2", openid: "oAbc", unionid: "oUni" });
  tracker.wechat({ appid: "wxa1b2", openid: "oAbc" });
  await tracker.flush();
  const [both, one] = sent();
  expect(both).toMatchObject({
    type: "identify",
    identifiers: [
      { kind: "wx_openid", value: "wxa1b2/oAbc" },
      { kind: "wx_unionid", value: "oUni" },
    ],
  });
  expect(one.identifiers[1]).toEqual({ kind: "wx_unionid" });
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
