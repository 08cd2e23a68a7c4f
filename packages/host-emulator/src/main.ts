import { runEmulator } from "./service/run-emulator.ts";

// It may be started from a terminal or by a shim, and outlives both.
process.on("SIGHUP", () => {});

// What it makes for guests must not depend on who started it.
process.umask(0o022);

void runEmulator(process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
});
