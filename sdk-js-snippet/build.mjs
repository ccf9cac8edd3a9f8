/**
 * Builds what is shipped. `node build.mjs` writes it, `--check` fails where what is committed is not what would be
 * built, or where a bundle is over its budget.
 */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));

/** `budget` is in bytes after gzip -9; what is committed is part of the product, which needs no Node. */
const BUNDLES = [
  { entry: "src/web/snippet.ts", out: "../collectors/static/xunji-web.js", format: "iife", budget: 5 * 1024, committed: true },
  { entry: "src/web/index.ts", out: "dist/web.js", format: "esm", budget: 5 * 1024 },
];

/** Names that only our own modules use, never the wire, a page or a browser's objects: they are shortened. */
const INTERNAL = [
  ...["adopt", "after", "allowed", "become", "bytes", "clear", "clock", "device", "exclusive", "first", "flying"],
  ...["forget", "kept", "lease", "leave", "newId", "person", "post", "retryAfter", "returning", "save", "soon"],
  ...["store", "transport", "visitor"],
];

const check = process.argv.includes("--check");
let failed = false;

for (const { entry, out, format, budget, committed } of BUNDLES) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format,
    target: "es2018",
    charset: "utf8",
    legalComments: "none",
    mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
    define: { VERSION: JSON.stringify(version) },
    banner: { js: `/*! xunji-web ${version} */` },
  });
  const { contents } = result.outputFiles[0];
  const size = gzipSync(contents, { level: 9 }).length;
  console.log(`${out}: ${size} of ${budget} bytes`);
  if (size > budget) failed = complain(`${out} is over its budget`);
  if (!check) {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, contents);
  } else if (committed && !(existsSync(out) && readFileSync(out).equals(contents))) {
    failed = complain(`${out} is not what its source builds: run \`npm run build\` and commit it`);
  }
}
if (!check) execFileSync("npx", ["tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
if (failed) process.exit(1);

function complain(sentence) {
  console.error(sentence);
  return true;
}
