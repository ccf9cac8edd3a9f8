/** Addresses of pages, as a mini-program has them: `/pages/s6/space?trim=max`, with values as they were escaped. */

import { attempt, type Query } from "./wechat";

/** The parameter by which a shared page says how far it has come: `2.<id of who shared it>`. */
export const SHARE = "xunji_share";

/** `to` is a path or what stands behind its question mark. */
export const joined = (to: string, parameter: string) => to + (/[?=]|^$/.test(to) ? "&" : "?") + parameter;

/** Without the mark of the share that led here. */
export const addressOf = (route: string, query: Query) =>
  Object.keys(query).reduce(
    (address, name) => (name == SHARE ? address : joined(address, name + "=" + query[name])),
    "/" + route,
  );

/**
 * What an address says, for people. A code that was scanned says all it has to say in one escaped text: in `scene`
 * where WeChat drew it (32 characters at most), in `q` where it is a link printed as a code.
 */
export const parametersOf = (address: string) =>
  address
    .replace(/\b(?:scene|q)=([^&]+)/g, (_, text) => unescaped(text))
    .split(/[?&]/)
    .map((parameter): [string, string] => {
      const [name, value = ""] = parameter.split(/=(.*)/);
      return [name!, unescaped(value)];
    });

const unescaped = (text: string) => attempt(() => decodeURIComponent(text)) || text;
