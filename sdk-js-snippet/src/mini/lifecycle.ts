/**
 * What a mini-program does by itself: it is launched, shown and hidden, its pages are opened and shared.
 *
 * App, Page and Component are WeChat's own functions, called once for the program and for each page with what it
 * handles. They are replaced by ones that listen first and then let the program's own handlers go on, whatever ours do.
 */

import type { Core } from "../core/tracker";
import { addressOf, joined, SHARE } from "./address";
import { attempt, type Query, type Shown } from "./wechat";

type Handler = (this: never, ...given: never[]) => unknown;
type Handlers = Record<string, Handler | undefined>;

/** Of a component; a page may be made as one, and then has the handlers of a page among its methods. */
interface Parts {
  methods?: Handlers;
  pageLifetimes?: Handlers;
}

declare let App: (handlers: Handlers) => unknown;
declare let Page: (handlers: Handlers) => unknown;
declare let Component: (parts: Parts) => unknown;

/** What `onShareAppMessage` and `onShareTimeline` return. */
interface Share {
  title?: string;
  path?: string;
  query?: string;
  /** What it is resolved with is shared instead. */
  promise?: Share;
  /** It may itself be a promise, of a handler that is async. */
  then?(take: (share: Share) => Share): Share;
}

/** Begins to listen, and has to before the program calls App and Page; `here` tells the page on the screen. */
export function watchProgram(core: Core, here: { url: string }): void {
  let depth = 0;

  const listen = (handlers: Handlers, name: string, ours: (given: never, place: never) => unknown) => {
    const own = handlers[name];
    handlers[name] = function (...given) {
      attempt(() => ours(given[0]!, this));
      return own && own.apply(this, given);
    };
  };

  const opened = ({ scene, path, query = {} }: Shown) => {
    here.url = addressOf(path!, query);
    const [share_depth, shared_by] = (query[SHARE] || "").split(".");
    // Who only comes back is as far from the first who shared as before.
    depth = +share_depth! || depth;
    return { scene, path, share_depth: depth, shared_by };
  };
  /** The components of a page hear that it is shown as well, but have no route. */
  const viewed = (_: never, { route, options = {} }: { route?: string; options?: Query }) => {
    if (!route) return;
    // Of this very instance: a page may be open twice.
    here.url = addressOf(route, options);
    core.page();
  };

  /** Puts the mark into `field`. WeChat shows the button only for a page that has the handler. */
  const share = (handlers: Handlers, name: string, field: "path" | "query") => {
    const own = handlers[name];
    if (!own) return;
    handlers[name] = function (...given) {
      const told = (own.apply(this, given) || {}) as Share;
      return (
        attempt(() => {
          core.track("shared", { title: told.title, share_depth: depth + 1 });
          const mark = `${SHARE}=${depth + 1}.${core.visitor.person().anonymousId}`;
          /** `otherwise` is what WeChat takes where the field is left out. */
          const marked = (share: Share, otherwise: string): Share => {
            if (share.then) return share.then((later) => marked(later, otherwise));
            const { promise, [field]: where = otherwise } = share;
            return { ...share, [field]: joined(where, mark), ...(promise && { promise: marked(promise, where) }) };
          };
          return core.allowed() && marked(told, field == "path" ? here.url : here.url.split("?")[1] || "");
        }) || told
      );
    };
  };
  const watchPage = (handlers: Handlers, shown: Handlers, name: string) => {
    listen(shown, name, viewed);
    share(handlers, "onShareAppMessage", "path");
    share(handlers, "onShareTimeline", "query");
  };

  const [registerApp, registerPage, registerComponent] = [App, Page, Component];
  App = (handlers) => {
    listen(handlers, "onLaunch", (given) => core.track("app_opened", opened(given)));
    listen(handlers, "onShow", (given) => core.track("session_started", opened(given)));
    listen(handlers, "onHide", () => {
      core.track("app_closed");
      core.flush();
    });
    return registerApp(handlers);
  };
  Page = (handlers) => {
    watchPage(handlers, handlers, "onShow");
    return registerPage(handlers);
  };
  Component = (parts) => {
    const methods = (parts.methods = { ...parts.methods });
    // A method of ours would hide one of the same name in a behavior; a page's lifetimes are all heard.
    if (methods.onShow) watchPage(methods, methods, "onShow");
    else watchPage(methods, (parts.pageLifetimes = { ...parts.pageLifetimes }), "show");
    return registerComponent(parts);
  };
}
