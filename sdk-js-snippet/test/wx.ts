/** WeChat in memory: storage, requests that a test answers, and the life of a program and its pages. */

// As the build for mini-programs sets them.
Object.assign(globalThis, { TABS: false, VERSION: "1.0.0" });

export interface Asked {
  url: string;
  body: any;
}

type Handlers = Record<string, ((this: unknown, ...given: any[]) => any) | undefined>;

interface Parts {
  methods?: Handlers;
  pageLifetimes?: Handlers;
}
/** Makes an instance of a page; it has the page's route, but for a component that is only on it. */
type File = (told: { route?: string; options?: Record<string, string> }) => Handlers;
type Opened = (name: string, ...given: unknown[]) => any;

export interface Phone {
  storage: Map<string, string>;
  asked: Asked[];
  /** The status of the next answers; 0 is a phone without network. */
  status: number;
  header: Record<string, string>;
  text: string;
  /** Begins the program as WeChat does, with what it handles. */
  launch(options: { path: string; scene: number; query?: Record<string, string> }, handlers?: Handlers): void;
  /** Runs a page's file: its handlers are those of all pages that are opened of it. */
  page(handlers?: Handlers): File;
  /** The same of a page that is made as a component. */
  component(parts?: Parts): File;
  /** Opens a page; returns what WeChat calls on it. */
  open(route: string, query: Record<string, string>, file?: Handlers | File): Opened;
  show(options?: Record<string, unknown>): void;
  hide(): void;
}

/** Puts `wx`, `App` and `Page` where a program finds them. `storage` outlives a program. */
export function newPhone(storage = new Map<string, string>()): Phone {
  const place = globalThis as any;
  let app: Handlers = {};
  let made: Parts = {};
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
    page(handlers = {}) {
      place.Page(handlers);
      const { methods } = made;
      return (told) => Object.assign(Object.create(methods!), told);
    },
    component(parts = {}) {
      place.Component(parts);
      const { methods, pageLifetimes } = made;
      const shown = (instance: Handlers) => () => {
        pageLifetimes?.show?.call(instance);
        methods!.onShow?.call(instance);
      };
      return (told) => {
        const instance = Object.assign(Object.create(methods!), told);
        return Object.assign(instance, { onShow: shown(instance) });
      };
    },
    open(route, query, file = {}) {
      const opened = (typeof file == "function" ? file : phone.page(file))({ route, options: query });
      opened.onLoad?.(query);
      opened.onShow!();
      return (name, ...given) => opened[name]!(...given);
    },
    show: (options = { scene: 1001, path: "pages/index", query: {} }) => app.onShow!(options),
    hide: () => app.onHide!(),
  };
  place.App = (handlers: Handlers) => (app = handlers);
  place.Page = (methods: Handlers) => (made = { methods });
  place.Component = (parts: Parts) => (made = parts);
  place.wx = {
    request({ url, data, success, fail }: any) {
      phone.asked.push({ url, body: JSON.parse(data) });
      const { status: statusCode, header: answered, text } = phone;
      setTimeout(() => (statusCode ? success({ statusCode, data: text, header: answered }) : fail({ errMsg: "request:fail" })));
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
