/** WeChat in memory: storage, requests that a test answers, and the life of a program and its pages. */

// As the build for mini-programs sets them.
Object.assign(globalThis, { TABS: false, VERSION: "1.0.0" });

export interface Asked {
  url: string;
  header: Record<string, string>;
  body: any;
}

type Handlers = Record<string, ((this: unknown, ...given: any[]) => any) | undefined>;

export interface Phone {
  storage: Map<string, string>;
  asked: Asked[];
  /** The status of the next answers; 0 is a phone without network. */
  status: number;
  header: Record<string, string>;
  text: string;
  /** Begins the program as WeChat does, with what it handles. */
  launch(options: { path: string; scene: number; query?: Record<string, string> }, handlers?: Handlers): void;
  /** Opens a page; returns what WeChat calls on it. */
  open(route: string, query: Record<string, string>, handlers?: Handlers): (name: string, ...given: unknown[]) => any;
  show(): void;
  hide(): void;
}

/** Puts `wx`, `App` and `Page` where a program finds them. `storage` outlives a program. */
export function newPhone(storage = new Map<string, string>()): Phone {
  const place = globalThis as any;
  let app: Handlers = {};
  let page: Handlers = {};
  const phone: Phone = {
    storage,
    asked: [],
    status: 200,
    header: {},
    text: '{"success":true}',
    launch(options, handlers = {}) {
      place.App(handlers);
      app.onLaunch!.call(app, options);
      app.onShow!.call(app, options);
    },
    open(route, query, handlers = {}) {
      place.Page(handlers);
      const opened = Object.assign(Object.create(page), page, { route }) as Handlers;
      opened.onLoad!(query);
      opened.onShow!();
      return (name, ...given) => opened[name]!(...given);
    },
    show: () => app.onShow!({ scene: 1001 }),
    hide: () => app.onHide!(),
  };
  place.App = (handlers: Handlers) => (app = handlers);
  place.Page = (handlers: Handlers) => (page = handlers);
  place.wx = {
    request({ url, data, header, success, fail }: any) {
      phone.asked.push({ url, header, body: JSON.parse(data) });
      const { status: statusCode, header: answered, text } = phone;
      setTimeout(() => (statusCode ? success({ statusCode, data: text, header: answered }) : fail()));
    },
    getStorageSync: (key: string) => storage.get(key) ?? "",
    setStorageSync: (key: string, value: string) => void storage.set(key, value),
    removeStorageSync: (key: string) => void storage.delete(key),
    getStorageInfoSync: () => ({ keys: [...storage.keys()] }),
    getDeviceInfo: () => ({ brand: "iPhone", model: "iPhone 15", system: "iOS 17.0" }),
    getAppBaseInfo: () => ({ language: "zh_CN" }),
    getAccountInfoSync: () => ({ miniProgram: { appId: "wxa1b2", version: "1.2.3" } }),
  };
  return phone;
}
