/**
 * Builds what is shipped. `node build.mjs` writes it, `--check` fails where what is committed is not what would be
 * built, or where a bundle is over its budget.
 */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));

/** `budget` is in bytes after gzip -9; what is committed is part of the product, which needs no Node. */
const WEB = { name: "xunji-web", tabs: true, budget: 5 * 1024 };
const MINI = { name: "xunji-mini", tabs: false, budget: 4 * 1024 };
const BUNDLES = [
  { ...WEB, entry: "src/web/snippet.ts", out: "../collectors/static/xunji-web.js", format: "iife", committed: true },
  { ...WEB, entry: "src/web/index.ts", out: "dist/web.js", format: "esm" },
  // It assigns to module.exports itself, which takes less room than what esbuild would put around it.
  { ...MINI, entry: "src/mini/common.ts", out: "../collectors/static/xunji-mini.js", format: "esm", committed: true },
  { ...MINI, entry: "src/mini/index.ts", out: "dist/mini.js", format: "esm" },
];

/** Names that only our own modules use, never the wire, a page or a browser's objects: they are shortened. */
const INTERNAL = [
  ...["adopt", "after", "allowed", "become", "bytes", "clear", "clock", "device", "exclusive", "first", "flying"],
  ...["forget", "kept", "lease", "leave", "newId", "person", "post", "retryAfter", "returning", "save", "soon"],
  ...["say", "store", "transport", "visit", "visitor"],
];

/** Without a page these are only ours, too. */
const WITHOUT_PAGE = ["add", "get", "remove", "send", "set", "size", "state", "text"];

const check = process.argv.includes("--check");
let failed = false;
if (!check) rmSync("dist", { recursive: true, force: true });

for (const { name, tabs, entry, out, format, budget, committed } of BUNDLES) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format,
    target: "es2018",
    charset: "utf8",
    legalComments: "none",
    mangleProps: new RegExp(`^(${[...INTERNAL, ...(tabs ? [] : WITHOUT_PAGE)].join("|")})$`),
    define: { VERSION: JSON.stringify(version), TABS: String(tabs) },
    banner: { js: `/*! ${name} ${version} */` },
    logOverride: { "commonjs-variable-in-esm": "silent" },
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
