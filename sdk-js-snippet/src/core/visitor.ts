/**
 * Who is here: the visitor's id, the member's id once known, and the visit.
 *
 * All tabs share them through the store, which is read anew for every event: who signs in in one tab is signed in in
 * all. Where nothing can be stored, memory stands in for the time of the page.
 */

import { parsed } from "./json";
import type { Campaign, Platform, Store } from "./ports";

export interface Person {
  anonymousId: string;
  userId?: string;
}

export interface Visit {
  id: string;
  /** When its last event happened. */
  at: number;
  campaign?: Campaign;
}

export interface Visitor {
  person(): Person;
  /** Becomes this person, in all tabs. */
  become(person: Person): void;
  /** Whether this visitor was known before this page. */
  returning(): boolean;
  /** The visit to which an event of now belongs; a campaign replaces the one with which the visit began. */
  visit(campaign?: Campaign): Visit;
  /** Becomes a stranger with a new visit. */
  forget(): void;
  /** Writes down what was only in memory, once that is allowed. */
  save(): void;
}

const PERSON = "v";
const VISIT = "s";

/** `pause` is the silence, in milliseconds, that ends a visit. */
export function newVisitor(platform: Platform, store: Store, pause: number): Visitor {
  const stored = <T>(key: string, memory: T): T => parsed(store.get(key), memory);
  const keep = (key: string, value: unknown) => store.set(key, JSON.stringify(value));
  const stranger = (): Person => ({ anonymousId: platform.newId() });

  const known = stored<Person | null>(PERSON, null);
  let person = known || stranger();
  let visit: Visit = { id: "", at: 0 };

  const visitor: Visitor = {
    person() {
      person = stored(PERSON, person);
      if (!store.get(PERSON)) keep(PERSON, person);
      return person;
    },
    become(other) {
      person = other;
      keep(PERSON, person);
    },
    returning: () => !!known,
    visit(campaign) {
      const now = platform.clock.now();
      visit = stored(VISIT, visit);
      if (now - visit.at > pause) visit = { id: platform.newId(), at: now };
      visit.at = now;
      if (campaign) visit.campaign = campaign;
      keep(VISIT, visit);
      return visit;
    },
    forget() {
      visitor.become(stranger());
      visit = { id: "", at: 0 };
      store.remove(VISIT);
    },
    save() {
      keep(PERSON, person);
      keep(VISIT, visit);
    },
  };
  return visitor;
}
