// Let the test do something to the collector in the middle of a story.
import { once } from "node:events";

/** Says that the first half is told, and waits for a line, or for the end of the input where nobody will write one. */
export async function pause() {
  console.log("half");
  process.stdin.resume();
  await Promise.race([once(process.stdin, "data"), once(process.stdin, "end")]);
  process.stdin.pause();
}
