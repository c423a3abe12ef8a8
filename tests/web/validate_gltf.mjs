// Khronos' validator on one file: prints its report as JSON. node validate_gltf.mjs FILE
import { readFileSync } from "node:fs";
import validator from "gltf-validator";

const report = await validator.validateBytes(new Uint8Array(readFileSync(process.argv[2])), { maxIssues: 50 });
console.log(JSON.stringify({ issues: report.issues, info: report.info }));
