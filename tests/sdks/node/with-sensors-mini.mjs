// A visitor looks, logs in and books, as sa-sdk-miniprogram tells it: URL KEY VISITOR MEMBER.
import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";
import { pause } from "./pause.mjs";
import { hide, open, tap, visit } from "./wx.mjs";

const [url, key, visitor, member] = process.argv.slice(2);
const sensors = createRequire(import.meta.url)("sa-sdk-miniprogram");
sensors.setPara({
  server_url: `${url}/sa?project=${key}`,
  show_log: false,
  autoTrack: { appLaunch: true, appShow: true, appHide: true, pageShow: true, pageLeave: true, mpClick: true },
  batch_send: { send_timeout: 300, max_length: 6 },
});
sensors.setOpenid(`o${visitor}`);
App({});
sensors.init();
open();
const page = visit("pages/x9/x9", { series: "X9" }, { onSeat() {}, onLoad() {}, onShow() {} });
tap(page, "onSeat", "rear-seat");
sensors.track("seat_viewed", { series: "X9", row: 2 });
sensors.login(member);
await setTimeout(1000);
await pause();
sensors.track("test_drive_booked", { series: "X9", price: 299800 });
hide();
while (sensors.store.mem.getLength() > 0) await setTimeout(100);
process.exit(0);
