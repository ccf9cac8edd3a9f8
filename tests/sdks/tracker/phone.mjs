/**
 * A phone with WeChat: each program that it runs is a world of its own, its storage outlives it, and its requests are
 * real ones.
 */

import { readFileSync } from "node:fs";
import http from "node:http";
import vm from "node:vm";

const TRACKER = readFileSync(new URL("../../../collectors/static/xunji-mini.js", import.meta.url), "utf8");
const WECHAT =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 " +
  "MicroMessenger/8.0.49(0x1800312d) NetType/WIFI Language/zh_CN";
/** WeChat says five seconds. */
const IN_BACKGROUND_MS = 300;

/** `files` are the project's, by path without `.js`, beside the tracker as it was downloaded. */
export function newPhone(appid, files) {
  const storage = new Map();
  return { storage, run: () => newProgram(appid, storage, { ...files, "xunji-mini": TRACKER }) };
}

function newProgram(appid, storage, files) {
  const timers = new Set();
  const calls = new Set();
  const faults = [];
  const pages = [];
  const files_run = new Map();
  let app;
  let made;

  const world = vm.createContext({
    console: { ...console, warn: (sentence) => faults.push(String(sentence)) },
    setTimeout(work, delay) {
      const timer = setTimeout(() => (timers.delete(timer), work()), delay);
      timers.add(timer);
      return timer;
    },
    clearTimeout,
    App: (handlers) => (app = handlers),
    getApp: () => app,
    Page: (handlers) => (made = { methods: handlers }),
    Component: (parts) => (made = parts),
    wx: {
      request,
      getStorageSync: (key) => storage.get(key) ?? "",
      setStorageSync: (key, value) => void storage.set(key, value),
      removeStorageSync: (key) => void storage.delete(key),
      getStorageInfoSync: () => ({ keys: [...storage.keys()] }),
      getDeviceInfo: () => ({ brand: "iPhone", model: "iPhone 15", system: "iOS 17.0", platform: "ios" }),
      getAppBaseInfo: () => ({ language: "zh_CN", version: "8.0.49", SDKVersion: "3.4.0" }),
      getAccountInfoSync: () => ({ miniProgram: { appId: appid, envVersion: "release", version: "1.2.3" } }),
    },
  });

  /** As `wx.request` does it, success is whatever got an answer, of any status. */
  function request({ url, method, data, header, dataType, success, fail }) {
    const headers = {
      "content-type": "application/json",
      ...header,
      "User-Agent": WECHAT,
      Referer: `https://servicewechat.com/${appid}/12/page-frame.html`,
    };
    const call = http.request(url, { method, headers, agent: false }, async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      const text = Buffer.concat(parts).toString();
      if (!calls.delete(call)) return;
      success({ statusCode: answer.statusCode, header: answer.headers, data: dataType == "text" ? text : JSON.parse(text) });
    });
    call.on("error", ({ message }) => calls.delete(call) && fail({ errMsg: "request:fail " + message, errno: 600001 }));
    calls.add(call);
    call.end(data);
  }

  function run(path) {
    if (!files_run.has(path)) {
      const module = { exports: {} };
      const require = (other) => run(other.replace(/^(\.\.?\/)+/, ""));
      vm.runInContext(`(function (module, exports, require) {${files[path]}\n})`, world)(module, module.exports, require);
      files_run.set(path, module.exports);
    }
    return files_run.get(path);
  }

  const call = (place, name, given) => place[name] && place[name].call(place, given);
  const program = {
    faults,
    /** What its tracker has not brought away yet. */
    waiting: () => [...storage.keys()].filter((key) => key.includes(".q.")).length,
    tracker: () => app.tracker,
    /** The visitor opens it by a code, a card or a search. */
    launch(options) {
      run("app");
      call(app, "onLaunch", options);
      call(app, "onShow", options);
    },
    /** The visitor comes to a page. */
    open(route, options) {
      made = undefined;
      files_run.delete(route);
      run(route);
      const { methods, pageLifetimes = {} } = made;
      const page = Object.assign(Object.create(methods), { route, options, shown: pageLifetimes.show || methods.onShow });
      pages.push(page);
      call(page, "onLoad", options);
      call(page, "shown");
      return page;
    },
    /** The visitor leaves for another program. What is still asked for then is broken off. */
    async hide() {
      call(app, "onHide");
      await new Promise((go) => setTimeout(go, IN_BACKGROUND_MS));
      for (const each of calls) each.destroy(new Error("interrupted"));
    },
    show(options) {
      call(app, "onShow", options);
      call(pages.at(-1), "shown");
    },
    /** The phone has no room for it any more. */
    kill() {
      timers.forEach(clearTimeout);
      for (const each of calls) calls.delete(each) && each.destroy();
    },
  };
  return program;
}

/** How WeChat reads the path of a card that was shared. */
export function opened(path, scene) {
  const [route, query = ""] = path.replace(/^\//, "").split("?");
  return { path: route, scene, query: Object.fromEntries(query.split("&").filter(Boolean).map((each) => each.split("="))) };
}
