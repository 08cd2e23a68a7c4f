import { runEmulator } from "./run-emulator.ts";

// It may be started from a terminal or by a shim, and outlives both.
process.on("SIGHUP", () => {});

void runEmulator(process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
});
