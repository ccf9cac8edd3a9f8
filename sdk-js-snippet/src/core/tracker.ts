/**
 * The tracker itself, the same on all ends: what a page calls, made into events that are queued and sent.
 *
 * `newCore` is what an end (web, mini-program) builds on: it hands in a platform, and calls `leave`, `flush` and
 * `become` when its own world says so.
 */

import { type Consent, newGate } from "./gate";
import { type LeadForm, postLead } from "./lead";
import type { Platform } from "./ports";
import { newQueue } from "./queue";
import { type Loss, newSender } from "./sender";
import { newVisitor, type Visitor } from "./visitor";

/** Anything that JSON can tell. */
export type Properties = Record<string, unknown>;

export interface CoreOptions {
  /** The collector, such as `https://collect.example.com`. */
  url: string;
  /** The write key of the source. */
  key: string;
  /** `required`: nothing is stored or sent before `consent(true)`. Default: `given`. */
  consent?: "given" | "required";
  /** The silence that ends a visit, in minutes. Default: 30. */
  sessionMinutes?: number;
  /** How long an event waits for others to be sent with, in milliseconds. Default: 1,000. */
  batchDelay?: number;
  /** Events in one post. Default: 50. */
  batchSize?: number;
  /** Events that may wait; with more the oldest go, and are counted in an event `events_dropped`. Default: 10,000. */
  maxQueue?: number;
}

export interface Tracker {
  /** Something happened: `track("video_played", {series: "X9"})`. */
  track(event: string, properties?: Properties): void;
  /** A page or screen was viewed; its address and title are there already. */
  page(name?: string, properties?: Properties): void;
  /** The visitor is this member. `proof` is the hex HMAC-SHA256 of the id by the source's secret, from your server. */
  identify(userId: string, traits?: Properties, proof?: string): void;
  /** The member signed out: from now on the visitor is a stranger with a new visit. */
  reset(): void;
  /** The visitor's word: `true` sends what waited, `false` throws it away and removes all that is stored. */
  consent(given: boolean): void;
  /** Sends what waits, then the form; resolves with the lead's id, rejects with a LeadError. */
  lead(form: LeadForm): Promise<string>;
  /** Sends what waits; resolves when it is sent, or has to be tried again later. */
  flush(): Promise<void>;
}

/** What an end needs besides. */
export interface Core extends Tracker {
  visitor: Visitor;
  /** Whether the visitor may be followed now. */
  allowed(): boolean;
  /** An event that none of the calls above makes, such as an alias. */
  send(call: Properties): void;
  /** The page is being left, perhaps for good. */
  leave(): void;
}

/** For so long, in milliseconds, a lead waits for the events before it. */
const LEAD_WAIT = 5_000;

/** `initial` overrides what `options.consent` says, where the end knows better (do not track, robots). */
export function newCore(options: CoreOptions, platform: Platform, initial?: Consent): Core {
  const { clock, newId, warn } = platform;
  const { url, key } = options;
  const gate = newGate(platform.store, initial || (options.consent == "required" ? "waiting" : "yes"), () => {
    queue.clear();
    visitor.forget();
  });
  const allowed = () => gate.state() == "yes";
  let losses: Partial<Record<Loss, number>> = {};
  const lose = (why: Loss, events: number) => (losses[why] = (losses[why] || 0) + events);

  const visitor = newVisitor(platform, gate.store, (options.sessionMinutes || 30) * 60_000);
  const queue = newQueue(platform, gate.store, newId(), options.maxQueue || 10_000, () => lose("queue_full", 1));
  const sender = newSender(
    platform,
    queue,
    { url, key, batchSize: options.batchSize || 50, batchDelay: options.batchDelay ?? 1_000 },
    allowed,
    lose,
    () => {
      // Only now, for a collector that refuses everything would refuse this too.
      const told = losses;
      losses = {};
      if (Object.keys(told).length) core.track("events_dropped", told);
    },
  );

  /** What a call and a lead have in common. */
  const stamped = (call: Properties): Properties => {
    const { campaign, ...context } = platform.context();
    const visit = visitor.visit(campaign);
    return {
      messageId: newId(),
      timestamp: new Date(clock.now()).toISOString(),
      ...visitor.person(),
      ...call,
      context: { ...context, ...(call.context as Properties), campaign: visit.campaign, sessionId: visit.id },
    };
  };

  const core: Core = {
    visitor,
    allowed,
    send(call) {
      if (gate.state() == "no") return;
      try {
        const event = stamped(call);
        queue.add(event.messageId as string, JSON.stringify(event));
        sender.soon();
      } catch (fault) {
        // Such as properties with a circle in them: the event is lost, the page is not.
        warn(`An event is no JSON: ${fault}`);
      }
    },
    track: (event, properties) => core.send({ type: "track", event, properties }),
    page: (name, properties) => core.send({ type: "page", name, properties }),
    identify(userId, traits, proof) {
      visitor.become({ ...visitor.person(), userId });
      core.send({ type: "identify", traits, context: { proof } });
    },
    reset: visitor.forget,
    consent(given) {
      gate.say(given);
      if (given) {
        visitor.save();
        queue.save();
        sender.now();
      } else queue.clear();
    },
    async lead(form) {
      const { context, ...lead } = stamped({ ...form });
      if (!allowed()) lead.anonymousId = lead.userId = undefined;
      const { campaign, ...where } = context as Properties;
      const consent = form.consent && { at: lead.timestamp, ...form.consent };
      // Another tab may be sending for long, and a person waits.
      await Promise.race([sender.now(), new Promise<void>((go) => clock.after(LEAD_WAIT, go))]);
      return postLead(platform, `${url}/f/${encodeURIComponent(key)}`, {
        ...lead,
        consent,
        campaign,
        context: { ...platform.device(), ...where },
      });
    },
    flush: sender.now,
    leave: sender.leave,
  };
  // Other tabs may have left something.
  sender.soon();
  return core;
}

export type { LeadError, LeadForm } from "./lead";
