import {
  flushBuffer, newTracker, setUserId, trackPageView, trackSelfDescribingEvent, trackStructEvent,
} from "@snowplow/browser-tracker";

export function visit(url, appId) {
  newTracker("shop", url, { appId });
  // What failed is tried again with the next event or flush, and by nothing else.
  setInterval(flushBuffer, 1000);
  trackPageView();
  const schema = "iglu:com.example/seat_viewed/jsonschema/1-0-0";
  trackSelfDescribingEvent({ event: { schema, data: { series: "X9", row: 2 } } });
}

export function login(member) {
  setUserId(member);
  trackSelfDescribingEvent({ event: { schema: "iglu:com.example/logged_in/jsonschema/1-0-0", data: {} } });
}

export const book = () =>
  trackStructEvent({ category: "shop", action: "test_drive_booked", label: "X9", value: 299800 });
