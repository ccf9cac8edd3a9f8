import sensors from "sa-sdk-javascript";

export function visit(url, key, way) {
  sensors.init({
    server_url: `${url}/sa?project=${key}`,
    ...(way === "batch" ? { batch_send: true } : { send_type: way }),
    heatmap: { clickmap: "default", scroll_notice_map: "not_collect" },
  });
  sensors.quick("autoTrack");
  sensors.track("seat_viewed", { series: "X9", row: 2 });
}

export const login = (member) => sensors.login(member);
export const book = () => sensors.track("test_drive_booked", { series: "X9", price: 299800 });
