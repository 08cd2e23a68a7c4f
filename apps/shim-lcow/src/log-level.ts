import type { LogLevel, PlatformContext } from "@uvm-shim/shim";

/** The levels of containerd's log library in the shim's own. */
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

/** Logs from the level that the runtime options name, if they do. */
export function applyLogLevel(name: string | undefined, { setLogLevel }: Pick<PlatformContext, "setLogLevel">): void {
  const level = name === undefined ? undefined : levels.get(name);
  if (level !== undefined) setLogLevel?.(level);
}
