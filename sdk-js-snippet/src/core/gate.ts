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

declare const TABS: boolean;
const WORD = "c";
const meant = (word: string): Consent => (word == "1" ? "yes" : "no");

/**
 * `initial` holds until the visitor says a word. That is written down, for later pages and for the other tabs, which
 * read it before each event; a refusal only where it is not the rule anyway, so that of who refuses nothing is stored.
 * `closed` is called when a visitor who could be followed no longer can, whichever tab was told.
 */
export function newGate(real: Store, initial: Consent, closed: () => void): Gate {
  const first = real.get(WORD);
  let state = first ? meant(first) : initial;
  let written = !!first;
  const become = (next: Consent) => {
    const was = state;
    state = next;
    if (was == "yes" && next != was) closed();
  };
  const now = () => {
    // Where there are no tabs nobody else is told, and each look would take its time.
    if (!TABS) return state;
    const word = real.get(WORD);
    const forgotten = written && !word;
    written = !!word;
    if (word) become(meant(word));
    // Where consent is required it was withdrawn in another tab; where not, the page cleared the store.
    else if (forgotten) become(initial == "yes" ? initial : "no");
    return state;
  };
  const open = () => now() == "yes";

  return {
    state: now,
    say(given) {
      if (!given) for (const key of real.keys()) real.remove(key);
      written = (given || initial == "yes") && real.set(WORD, given ? "1" : "0");
      become(given ? "yes" : "no");
    },
    store: {
      get: (key) => (open() ? real.get(key) : null),
      set: (key, value) => open() && real.set(key, value),
      remove: (key) => real.remove(key),
      keys: () => (open() ? real.keys() : []),
    },
  };
}
