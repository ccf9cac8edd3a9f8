/** The tracker for web pages. */

import { campaignOf } from "../core/campaign";
import type { Context, Platform, Store } from "../core/ports";
import { type CoreOptions, newCore, type Tracker } from "../core/tracker";
import { browserClock, browserStore, browserTransport, isRobot, newId } from "./browser";
import { watchElements } from "./elements";
import { decorateLinks, readLink } from "./links";
import { type Pages, watchPages } from "./pages";

export interface WebOptions extends CoreOptions {
  /** Whether page views are tracked by themselves, of single-page applications too. Default: true. */
  pages?: boolean;
  /** Whether what stands behind # names a page. Default: false. */
  hash?: boolean;
  /** Whether elements with `data-xunji-event` and forms with `data-xunji-form` are tracked. Default: true. */
  elements?: boolean;
  /** Other domains of yours, to which links carry the visitor's id. Default: none. */
  linkDomains?: string[];
  /** Whether a browser that asks not to be tracked (DNT, GPC) is obeyed until `consent(true)`. Default: false. */
  doNotTrack?: boolean;
  /** Of browsers that a program drives: `skip` nothing is sent of them, `send` marked `bot: true`. Default: `skip`. */
  bots?: "skip" | "send";
}

declare const VERSION: string;

const NOTHING: Store = { get: () => null, set: () => false, remove() {}, keys: () => [] };

export function newTracker(options: WebOptions): Tracker {
  const robot = isRobot();
  const skipped = robot && options.bots != "send";
  const { doNotTrack, globalPrivacyControl } = navigator as Navigator & { globalPrivacyControl?: boolean };
  const refused = options.doNotTrack && (doNotTrack == "1" || globalPrivacyControl);
  const prefix = `xunji.${options.key}.`;
  const linked = readLink(options.linkDomains || []);
  let pages: Pages | undefined;

  const platform: Platform = {
    clock: browserClock,
    store: skipped ? NOTHING : browserStore(prefix),
    transport: browserTransport,
    newId,
    random: Math.random,
    warn: (sentence) => console.warn("xunji: " + sentence),
    context(): Context {
      const { href, pathname, search } = location;
      const referrer = pages ? pages.referrer() : document.referrer;
      return {
        page: { url: href, path: pathname, title: document.title, referrer },
        campaign: campaignOf(Array.from(new URLSearchParams(search))),
        bot: robot || undefined,
      };
    },
    device: () => ({
      library: { name: "xunji-web", version: VERSION },
      platform: "web",
      locale: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen: { width: screen.width, height: screen.height },
    }),
    exclusive: (work) => (navigator.locks ? navigator.locks.request(prefix, work).catch(work) : work()),
  };
  const core = newCore(options, platform, skipped || refused ? "no" : undefined);
  const { visitor } = core;

  if (linked && linked != visitor.person().anonymousId) {
    // Told once: from then on the visitor has one id on both domains.
    if (visitor.returning()) core.send({ type: "alias", previousId: linked });
    visitor.become({ ...visitor.person(), anonymousId: linked });
  }
  if (options.linkDomains)
    decorateLinks(options.linkDomains, () => (core.allowed() ? visitor.person().anonymousId : undefined));
  if (options.pages != false) pages = watchPages(!!options.hash, () => core.page());
  if (options.elements != false) watchElements(core.track);

  addEventListener("online", core.flush);
  let left = false;
  addEventListener("pagehide", () => {
    left = true;
    core.leave();
  });
  addEventListener("pageshow", () => (left = false));
  // Of a phone that is put away nothing more may be heard. A page that was left has handed over everything already.
  document.addEventListener("visibilitychange", () => document.hidden && !left && core.flush());

  if (skipped) {
    core.consent = () => {};
    platform.warn('A program drives this browser: nothing is sent, unless bots: "send" is set.');
  }
  return core;
}

export type { LeadError, LeadForm, Properties, Tracker } from "../core/tracker";
