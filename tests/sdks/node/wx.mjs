// As much of the WeChat mini-program runtime as an SDK asks for: requests, storage, App, Page and their lives.
import { request } from "node:http";

const USER_AGENT =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 " +
  "MicroMessenger/8.0.49(0x1800312d) NetType/WIFI Language/zh_CN";
const APPID = "wx1234567890abcdef";
const FIXED = { "User-Agent": USER_AGENT, Referer: `https://servicewechat.com/${APPID}/12/page-frame.html` };
const WINDOW = { pixelRatio: 3, screenWidth: 393, screenHeight: 852, windowWidth: 393, windowHeight: 759 };
const DEVICE = { brand: "iPhone", model: "iPhone 15", system: "iOS 17.0", platform: "ios" };
const APP = { language: "zh_CN", version: "8.0.49", SDKVersion: "3.4.0" };

/** A scanned code of an advertisement opened it. */
const LAUNCH = {
  path: "pages/x9/x9",
  query: { utm_source: "baidu", utm_campaign: "x9-launch" },
  scene: 1047,
  referrerInfo: {},
};

const stored = new Map();
const pages = [];
const listeners = { show: [], hide: [] };
let app;

/** As `wx.request` does it, success is whatever got an answer, of any status. */
function send({ url, method = "GET", data, header = {}, success, fail, complete }) {
  const body = data === undefined || typeof data === "string" ? data : JSON.stringify(data);
  const named = { "content-type": "application/json", ...header, ...FIXED };
  const call = request(url, { method, headers: named }, (answer) => {
    const parts = [];
    answer.on("data", (part) => parts.push(part));
    answer.on("end", () => {
      const text = Buffer.concat(parts).toString();
      success?.({ statusCode: answer.statusCode, data: text, header: answer.headers, errMsg: "request:ok" });
      complete?.({ errMsg: "request:ok" });
    });
  });
  call.on("error", (error) => {
    fail?.({ errMsg: `request:fail ${error.message}` });
    complete?.({ errMsg: "request:fail" });
  });
  call.end(method === "GET" ? undefined : body);
  return { abort: () => call.destroy() };
}

const later = (options, value) =>
  setTimeout(() => {
    options?.success?.(value);
    options?.complete?.(value);
  }, 0);

const known = {
  request: send,
  getStorageSync: (key) => stored.get(key) ?? "",
  setStorageSync: (key, value) => void stored.set(key, value),
  removeStorageSync: (key) => void stored.delete(key),
  getStorage: (options) => later(options, { data: stored.get(options.key) }),
  setStorage: (options) => {
    stored.set(options.key, options.data);
    later(options, {});
  },
  getSystemInfoSync: () => ({ ...WINDOW, ...DEVICE, ...APP }),
  getSystemInfo: (options) => later(options, { ...WINDOW, ...DEVICE, ...APP }),
  getWindowInfo: () => WINDOW,
  getDeviceInfo: () => DEVICE,
  getAppBaseInfo: () => APP,
  getNetworkType: (options) => later(options, { networkType: "wifi" }),
  getAccountInfoSync: () => ({ miniProgram: { appId: APPID, envVersion: "release", version: "1.2.3" } }),
  getLaunchOptionsSync: () => LAUNCH,
  getEnterOptionsSync: () => LAUNCH,
  onAppShow: (listener) => listeners.show.push(listener),
  onAppHide: (listener) => listeners.hide.push(listener),
  canIUse: () => true,
};
globalThis.wx = new Proxy(known, { get: (target, name) => target[name] ?? (() => undefined) });
globalThis.App = (made) => (app = made);
globalThis.getApp = () => app;
globalThis.Page = (made) => pages.push(made);
globalThis.Component = () => undefined;
globalThis.getCurrentPages = () => pages.filter((page) => page.route);

/** The visitor opens the mini-program. */
export function open() {
  app.onLaunch?.call(app, LAUNCH);
  app.onShow?.call(app, LAUNCH);
  for (const listener of listeners.show) listener(LAUNCH);
}

/** The visitor comes to a page; `made` is what its file gives to `Page`. */
export function visit(route, query, made) {
  Page({ ...made, setData: () => undefined });
  const page = pages.at(-1);
  Object.assign(page, { route, __route__: route, is: route, options: query });
  page.onLoad?.call(page, query);
  page.onShow?.call(page);
  page.onReady?.call(page);
  return page;
}

/** The visitor taps an element whose handler is this method of the page. */
export function tap(page, method, id) {
  page[method]({ type: "tap", currentTarget: { id, dataset: {} }, target: { id, dataset: {} }, detail: {} });
}

/** The visitor leaves for another program. */
export function hide() {
  for (const each of [pages.at(-1), app]) each.onHide?.call(each);
  for (const listener of listeners.hide) listener({});
}
