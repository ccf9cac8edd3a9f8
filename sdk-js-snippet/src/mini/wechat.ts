/** WeChat as a platform of the core: what of `wx` is used, and how it is spelled. */

import type { Answer, Clock, Store, Transport } from "../core/ports";

/** Parameters of a page or a launch, as WeChat hands them over. */
export type Query = Record<string, string | undefined>;

/** What WeChat says when the program is launched or shown. */
export interface Shown {
  path?: string;
  scene?: number;
  query?: Query;
}

interface Answered {
  statusCode?: number;
  data?: string;
  header?: Record<string, string>;
}

interface Wx {
  request(asked: {
    url: string;
    method: "POST";
    data: string;
    dataType: string;
    success(answer: Answered): void;
    fail(answer: Answered): void;
  }): void;
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, value: string): void;
  removeStorageSync(key: string): void;
  getStorageInfoSync(): { keys: string[] };
  getDeviceInfo?(): Info;
  getAppBaseInfo?(): Info;
  getSystemInfoSync?(): Info;
  getAccountInfoSync?(): { miniProgram: { appId?: string; version?: string } };
}

interface Info {
  model?: string;
  system?: string;
  language?: string;
}

declare const wx: Wx;

/** What `work` gives; undefined where this version of WeChat, or the phone, does not have it. */
export function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {}
}

export function wechatStore(prefix: string): Store {
  return {
    // What is not stored is "" here.
    get: (key) => (attempt(() => wx.getStorageSync(prefix + key)) as string) || null,
    set: (key, value) => !!attempt(() => (wx.setStorageSync(prefix + key, value), true)),
    remove: (key) => attempt(() => wx.removeStorageSync(prefix + key)),
    keys: () =>
      (attempt(() => wx.getStorageInfoSync().keys) || [])
        .filter((key) => !key.indexOf(prefix))
        .map((key) => key.slice(prefix.length)),
  };
}

export const wechatClock: Clock = {
  now: () => Date.now(),
  after(delay, work) {
    const timer = setTimeout(work, delay);
    return () => clearTimeout(timer);
  },
};

export const wechatTransport: Transport = {
  post: (url, data) =>
    new Promise<Answer>((resolve) => {
      // Success is every status, 500 too; what failed has none.
      const answered = ({ statusCode: status = 0, data: text, header }: Answered) => {
        const wait = /retry-after":"?(\d+)/i.exec(JSON.stringify(header)) || [];
        resolve({ status, text: text!, retryAfter: +wait[1]! || 0 });
      };
      // A program may have put something of its own before it, and that may throw.
      const made = attempt(() => {
        wx.request({
          url,
          method: "POST",
          data,
          // Or the answer would be parsed for us.
          dataType: "text",
          success: answered,
          fail: answered,
        });
        return 1;
      });
      if (!made) answered({});
    }),
  // Nothing outlives the program; a request that began before it was hidden has five seconds to end.
  leave: () => false,
};

/** Of time and of 100 bits that no two visitors share. */
export function newId(): string {
  const random = () => Math.random().toString(36).slice(2);
  return Date.now().toString(36) + random() + random();
}

/** Of the phone and of this program, in the words of the wire. */
export function device(version: string): Record<string, unknown> {
  const info: Info =
    // Where it is not there yet, the other says it all; where it is, the other complains of being out of date.
    attempt(() => (wx.getDeviceInfo ? { ...wx.getDeviceInfo(), ...wx.getAppBaseInfo!() } : wx.getSystemInfoSync!())) || {};
  const [os, osVersion] = (info.system || "").split(" ");
  const program = attempt(() => wx.getAccountInfoSync!().miniProgram) || {};
  return {
    library: { name: "xunji-mini", version },
    locale: info.language,
    os: { name: os, version: osVersion },
    // In quotes, for the build shortens the names of our own functions.
    "device": { model: info.model },
    app: { namespace: program.appId, version: program.version },
  };
}
