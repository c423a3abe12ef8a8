// Bundles page.js with three.js into one file, share.min.js, and checks that it can be inlined in HTML.
import { build } from "esbuild";
import { copyFileSync, readFileSync, statSync } from "node:fs";

const LIMIT = 1.2e6;
await build({
  entryPoints: ["page.js"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2021",
  legalComments: "none",
  banner: { js: "/* headfield share page. Contains three.js, (c) three.js authors, MIT licence: see THREE-LICENSE.txt */" },
  outfile: "share.min.js",
});
copyFileSync("node_modules/three/LICENSE", "THREE-LICENSE.txt");
const text = readFileSync("share.min.js", "utf8");
const size = statSync("share.min.js").size;
if (/<\/script|<!--/i.test(text)) throw new Error("the bundle holds a string that would end a script element");
if (size > LIMIT) throw new Error(`the bundle has ${size} bytes, more than ${LIMIT}`);
console.log(`share.min.js: ${size} bytes`);
