/** The tracker for WeChat mini-programs. */

import { campaignOf } from "../core/campaign";
import type { Context, Platform } from "../core/ports";
import { type CoreOptions, newCore, type Tracker } from "../core/tracker";
import { watchProgram } from "./lifecycle";
import { attempt, device, newId, wechatClock, wechatStore, wechatTransport } from "./wechat";

export interface MiniOptions extends CoreOptions {
  /** Whether launches, page views and shares are tracked by themselves. Default: true. */
  lifecycle?: boolean;
}

export interface MiniTracker extends Tracker {
  /** What your server learnt of this visitor from the code of `wx.login`. */
  wechat(ids: { appid: string; openid: string; unionid?: string }): void;
}

declare const VERSION: string;

/** Call it at the top of `app.js`, before App. */
export function newTracker(options: MiniOptions): MiniTracker {
  let page: ReturnType<typeof watchProgram> = () => ["", {}];
  const platform: Platform = {
    clock: wechatClock,
    store: wechatStore(`xunji.${options.key}.`),
    transport: wechatTransport,
    newId,
    random: Math.random,
    warn: (sentence) => console.warn("xunji: " + sentence),
    context(): Context {
      const [url, query] = page();
      // WeChat hands parameters over as they stand in the address.
      const parameters = Object.keys(query).map((name): [string, string] => {
        const value = query[name] || "";
        return [name, attempt(() => decodeURIComponent(value)) || value];
      });
      return { page: { url, path: url.split("?")[0] }, campaign: campaignOf(parameters) };
    },
    device: () => device(VERSION),
  };
  const core = newCore(options, platform);
  if (options.lifecycle != false) page = watchProgram(core);
  return {
    ...core,
    wechat({ appid, openid, unionid }) {
      const identifiers = [
        { kind: "wx_openid", value: `${appid}/${openid}` },
        { kind: "wx_unionid", value: unionid },
      ];
      core.send({ type: "identify", identifiers });
    },
  };
}

export type { LeadError, LeadForm, Properties, Tracker } from "../core/tracker";
