import type { LogLevel, PlatformContext } from "@uvm-shim/shim";

/** The level names of containerd's log library. */
const levels: ReadonlyMap<string, LogLevel> = new Map([
  ["trace", "trace"],
  ["debug", "debug"],
  ["info", "info"],
  ["warn", "warn"],
  ["warning", "warn"],
  ["error", "error"],
  ["fatal", "error"],
  ["panic", "error"],
]);

/** Applies the log level of the runtime options, if they name one. */
export function applyLogLevel(name: string | undefined, { setLogLevel }: Pick<PlatformContext, "setLogLevel">): void {
  const level = name === undefined ? undefined : levels.get(name);
  if (level !== undefined) setLogLevel?.(level);
}
