/**
 * What `xunji.js` is: the tracker as `window.xunji`, started with the options of whoever loaded it.
 *
 * Either the snippet did, which left a stub that keeps calls until now, or a script element with `data-key` (and `data-consent`).
 */

import type { Tracker } from "../core/tracker";
import { newTracker, type WebOptions } from "./index";

type Call = [name: keyof Tracker, given: ArrayLike<unknown>, resolve: (value: unknown) => void, reject: () => void];
type Stub = Partial<Tracker> & { o?: WebOptions | null; q?: Call[] };

const page = window as { xunji?: Stub };
const script = document.currentScript as HTMLScriptElement | null;
const stub = (page.xunji = page.xunji || {});
const { key, consent } = script ? script.dataset : ({} as DOMStringMap);
const options = stub.o || (key && !stub.track && ({ url: new URL(script!.src).origin, key, consent } as WebOptions));

if (options) {
  // The page may hold the stub itself, so it becomes the tracker.
  const tracker = Object.assign(stub, newTracker(options), { o: null });
  for (const [name, given, resolve, reject] of stub.q || [])
    Promise.resolve((tracker[name] as (...all: unknown[]) => unknown)(...Array.from(given))).then(resolve, reject);
}
