import { runEmulator } from "./service/run-emulator.ts";

// The host outlives the terminal or shim that started it.
process.on("SIGHUP", () => {});

// Modes of files for guests must not depend on the starting process.
process.umask(0o022);

void runEmulator(process.argv.slice(2), process.env).then((code) => {
  process.exitCode = code;
});
