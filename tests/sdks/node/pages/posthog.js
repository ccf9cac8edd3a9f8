import posthog from "posthog-js";

export async function visit(api_host, key) {
  posthog.init(key, { api_host, defaults: "2025-05-24" });
  posthog.capture("seat_viewed", { series: "X9", row: 2 });
  // Clicks are collected once the collector has said that they may be.
  while (!posthog.autocapture?.isEnabled) await new Promise((later) => setTimeout(later, 50));
}

export const login = (member) => posthog.identify(member, { city: "杭州" });
export const book = () => posthog.capture("test_drive_booked", { series: "X9", price: 299800 });
