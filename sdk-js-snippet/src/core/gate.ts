/** Consent: one state, and a store that is empty and takes nothing while it is not given. */

import type { Store } from "./ports";

/** `waiting`: not asked yet, so events wait in memory only. `no`: events are thrown away. */
export type Consent = "yes" | "no" | "waiting";

export interface Gate {
  state(): Consent;
  /** Takes the visitor's word. On `false` everything of ours is removed from the store. */
  say(given: boolean): void;
  /** The store behind the gate. */
  store: Store;
}

const WORD = "c";

/**
 * `initial` holds until the visitor says a word. That is written down, for later pages and for the other tabs, which
 * read it before each event; a refusal only where it is not the rule anyway, so that of who refuses nothing is stored.
 */
export function newGate(real: Store, initial: Consent): Gate {
  let state = initial;
  let written = false;
  const now = () => {
    const word = real.get(WORD);
    if (word) state = word == "1" ? "yes" : "no";
    else if (written) state = initial;
    written = !!word;
    return state;
  };
  const open = () => now() == "yes";

  return {
    state: now,
    say(given) {
      if (!given) for (const key of real.keys()) real.remove(key);
      written = (given || initial == "yes") && real.set(WORD, given ? "1" : "0");
      state = given ? "yes" : "no";
    },
    store: {
      get: (key) => (open() ? real.get(key) : null),
      set: (key, value) => open() && real.set(key, value),
      remove: (key) => real.remove(key),
      keys: () => (open() ? real.keys() : []),
    },
  };
}
