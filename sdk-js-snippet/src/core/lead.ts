/** A lead: one form that a visitor sends, posted by itself and answered with the lead's id. */

import { parsed } from "./json";
import type { Platform } from "./ports";

/** What a form says; `docs/forms.md` has it all. One of phone, email and wechat must be there. */
export interface LeadForm {
  contact: { name?: string; phone?: string; email?: string; wechat?: string };
  interest?: { series?: string; model?: string; dealer?: string; city?: string; note?: string };
  /** `at` is now unless it is given. */
  consent?: { purposes: string[]; text_version?: string; at?: string };
  channel?: string;
  properties?: Record<string, unknown>;
  /** When the form was shown, in milliseconds since 1970: one that is sent at once was filled in by a robot. */
  shownAt?: number;
  /** The trap for robots: the value of a field that no person sees. */
  website?: string;
}

/** Why there is no lead. */
export interface LeadError extends Error {
  /** The HTTP status, 0 where no answer came. */
  status: number;
  /** The fields that were wrong, such as `contact.phone`, with what was expected. */
  errors: { path: string; expected?: string; got?: string; help?: string }[];
}

interface Told {
  ok?: boolean;
  lead?: string;
  detail?: string;
  errors?: LeadError["errors"];
}

const TRIES = 5;
const FIRST_WAIT = 500;
/** Longer nobody looks at a button that turns. */
const LONGEST_WAIT = 10_000;

/**
 * Posts until an answer comes, five times at most, and resolves with the lead's id. The body keeps its messageId, so
 * that it is one lead however often it arrives. Nothing is stored on the way: it has a clear phone in it.
 */
export async function postLead(platform: Platform, url: string, lead: Record<string, unknown>): Promise<string> {
  const { clock, transport } = platform;
  for (let tries = 1; ; tries++) {
    const body = JSON.stringify({ ...lead, sentAt: new Date(clock.now()).toISOString() });
    const { status, text, retryAfter } = await transport.post(url, body);
    const told = parsed<Told>(text, {});
    if (status == 200 && told.ok) return told.lead!;
    if ((status && status != 408 && status != 429 && status < 500) || tries == TRIES)
      throw Object.assign(new Error(told.detail || "The lead was not taken: " + status), {
        status,
        errors: told.errors || [],
      });
    const wait = Math.max(FIRST_WAIT * 2 ** tries * (0.5 + platform.random() / 2), retryAfter * 1000);
    await new Promise<void>((go) => clock.after(Math.min(wait, LONGEST_WAIT), go));
  }
}
