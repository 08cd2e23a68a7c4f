/**
 * Puts the boot files of a process guest into dist/boot of the current folder, which is that of the emulated host, for those
 * who install it from npm: there koffi is a package, not a file beside the agent.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processGuestKernel } from "../packages/host-protocol/src/guest/boot.ts";
import { bundleProgram } from "./bundle.ts";
import { findProgram } from "./programs.ts";

const { code } = await bundleProgram(findProgram("guest-agent"), "linux", { external: ["koffi"] });
const folder = join(process.cwd(), "dist", "boot");
mkdirSync(folder, { recursive: true });
const files: Readonly<Record<string, string | Uint8Array>> = {
  "package.json": '{"type":"commonjs"}\n',
  kernel: `${processGuestKernel}\n`,
  "initrd.img": 'require("./guest-agent.cjs");\n',
  "guest-agent.cjs": code,
};
for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
