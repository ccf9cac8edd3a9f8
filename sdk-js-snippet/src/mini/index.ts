/** The tracker for WeChat mini-programs. */

import { campaignOf } from "../core/campaign";
import type { Platform } from "../core/ports";
import { type CoreOptions, newCore, type Tracker } from "../core/tracker";
import { parametersOf } from "./address";
import { watchProgram } from "./lifecycle";
import { device, newId, wechatClock, wechatStore, wechatTransport } from "./wechat";

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
  const here = { url: "" };
  const platform: Platform = {
    clock: wechatClock,
    store: wechatStore(`xunji.${options.key}.`),
    transport: wechatTransport,
    newId,
    random: Math.random,
    warn: (sentence) => console.warn("xunji: " + sentence),
    context: () => ({
      page: { ...here, path: here.url.split("?")[0] },
      campaign: campaignOf(parametersOf(here.url)),
    }),
    device: () => device(VERSION),
  };
  const core = newCore(options, platform);
  if (options.lifecycle != false) watchProgram(core, here);
  return {
    ...core,
    wechat({ appid, openid, unionid }) {
      const identifiers = [
        // Of a login that failed: two visitors without an openid are not one.
        { kind: "wx_openid", value: openid && `${appid}/${openid}` },
        { kind: "wx_unionid", value: unionid },
      ];
      core.send({ type: "identify", identifiers });
    },
  };
}

export type { LeadError, LeadForm, Properties, Tracker } from "../core/tracker";
