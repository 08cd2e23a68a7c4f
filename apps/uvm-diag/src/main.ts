import process from "node:process";
import { interruptionOf } from "./interruption.ts";
import { runDiag } from "./run.ts";

declare const UVM_SHIM_VERSION: string;
declare const UVM_SHIM_COMMIT: string;

const interruption = interruptionOf(process);

void runDiag({
  arguments: process.argv.slice(2),
  env: process.env,
  platform: process.platform,
  userId: process.getuid?.(),
  streams: process,
  version: UVM_SHIM_VERSION,
  versionText: `uvm-diag:\n  Version:  ${UVM_SHIM_VERSION}\n  Revision: ${UVM_SHIM_COMMIT}\n  Node version: ${process.version}\n\n`,
  now: () => new Date(),
  signal: interruption.signal,
}).then((code) => {
  process.exitCode = interruption.exitCodeFor(code);
});
