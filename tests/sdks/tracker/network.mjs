/** Stands before the real collector, and plays the network between a browser and it. */

import http from "node:http";

/**
 * `up` passes everything on; `down` hangs up; `deaf` passes posts on and loses the answers, as when a connection
 * breaks at the worst moment. `requests` are those that came, in order, but for what met a network that was down.
 */
export async function newNetwork(collectorPort) {
  const network = { state: "up", requests: [], port: 0 };
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (network.state == "down") return request.socket.destroy();
    const { method, url: path, headers } = request;
    const answered = network.state == "up" || method != "POST";
    const told = method == "POST" ? JSON.parse(body) : {};
    const seen = { method, path, origin: headers.origin, body: told, answered, status: 0 };
    network.requests.push(seen);
    const to = { host: "127.0.0.1", port: collectorPort, path, method, headers, agent: false };
    const onward = http.request(to, (answer) => {
      seen.status = answer.statusCode;
      if (!answered) return answer.resume();
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end(body);
  });
  await new Promise((go) => server.listen(0, "127.0.0.1", go));
  network.port = server.address().port;
  return network;
}
