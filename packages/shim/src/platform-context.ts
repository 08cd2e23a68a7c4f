import { realpathSync } from "node:fs";
import path from "node:path";
import type { PlatformContext, ShimOptions } from "./options.ts";
import { createPosixStdio } from "./stdio-posix.ts";
import type { Log } from "./types.ts";

export function platformContext(
  options: ShimOptions,
  host: NodeJS.Process,
  log: Log,
  namespace: string,
): PlatformContext {
  const script = host.argv[1];
  return {
    log,
    upstreamStdio: createPosixStdio({ namespace }),
    env: host.env,
    namespace,
    executableDirectory:
      options.executableDirectory ?? path.dirname(script === undefined ? host.execPath : realpathSync(script)),
  };
}
