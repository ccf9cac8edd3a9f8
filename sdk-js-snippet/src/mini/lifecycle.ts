/**
 * What a mini-program does by itself: it is launched, shown and hidden, its pages are opened and shared.
 *
 * App and Page are WeChat's own functions, called once for the program and for each page with what it handles. They
 * are replaced by ones that listen first and then let the program's own handlers go on, whatever ours may do.
 */

import type { Core } from "../core/tracker";
import { attempt, type Query, type Shown } from "./wechat";

type Handler = (this: never, ...given: never[]) => unknown;
type Handlers = Record<string, Handler | undefined>;
type Register = (handlers: Handlers) => unknown;

declare let App: Register;
declare let Page: Register;

/** The parameter by which a shared page says how far it has come: `2.<id of who shared it>`. */
const SHARE = "xunji_share";

/** What `onShareAppMessage` and `onShareTimeline` return. */
interface Share {
  title?: string;
  path?: string;
  query?: string;
}

/** Begins to listen, and has to before the program calls App and Page; returns the address and parameters of the page
 * on the screen. */
export function watchProgram(core: Core): () => [address: string, query: Query] {
  let page: [address: string, query: Query] = ["", {}];
  let depth = 0;

  const listen = (handlers: Handlers, name: string, ours: (given: never, place: never) => unknown) => {
    const own = handlers[name];
    handlers[name] = function (...given) {
      attempt(() => ours(given[0]!, this));
      return own && own.apply(this, given);
    };
  };
  /** WeChat shows the button only for a page that has the handler. */
  const share = (handlers: Handlers, name: string, marked: (told: Share, mark: string) => Share) => {
    const own = handlers[name];
    if (!own) return;
    handlers[name] = function (...given) {
      const told = (own.apply(this, given) || {}) as Share;
      return (
        attempt(() => {
          core.track("shared", { title: told.title, share_depth: depth + 1 });
          return core.allowed() && marked(told, `${SHARE}=${depth + 1}.${core.visitor.person().anonymousId}`);
        }) || told
      );
    };
  };

  const [registerApp, registerPage] = [App, Page];
  App = (handlers) => {
    listen(handlers, "onLaunch", ({ scene, path, query = {} }: Shown) => {
      const [share_depth, shared_by] = (query[SHARE] || "0").split(".");
      depth = +share_depth! || 0;
      core.track("app_opened", { scene, path, share_depth: depth, shared_by });
    });
    listen(handlers, "onShow", ({ scene }: Shown) => core.track("session_started", { scene }));
    listen(handlers, "onHide", () => {
      core.track("app_closed");
      core.flush();
    });
    return registerApp(handlers);
  };
  Page = (handlers) => {
    let query: Query = {};
    listen(handlers, "onLoad", (given: Query) => (query = given || {}));
    listen(handlers, "onShow", (_: never, { route }: { route: string }) => {
      page = [addressOf(route, query), query];
      core.page();
    });
    share(handlers, "onShareAppMessage", (told, mark) => ({ ...told, path: joined(told.path || page[0], mark) }));
    share(handlers, "onShareTimeline", (told, mark) => ({ ...told, query: mark + "&" + (told.query || "") }));
    return registerPage(handlers);
  };
  return () => page;
}

const joined = (path: string, parameters: string) => path + (/\?/.test(path) ? "&" : "?") + parameters;

/** `/pages/s6/space?trim=max`, without the mark of the share that led here. */
function addressOf(route: string, query: Query): string {
  const told = Object.keys(query).filter((name) => name != SHARE);
  return told.reduce((address, name) => joined(address, `${name}=${query[name]}`), "/" + route);
}
