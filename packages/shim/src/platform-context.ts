import { ownFolder } from "./executable.ts";
import type { PlatformContext, ShimOptions } from "./options.ts";
import { createPosixStdio } from "./stdio-posix.ts";
import type { Log } from "./types.ts";

export function platformContext(
  options: ShimOptions,
  host: NodeJS.Process,
  log: Log,
  namespace: string,
): PlatformContext {
  return {
    log,
    upstreamStdio: createPosixStdio({ namespace }),
    env: host.env,
    namespace,
    executableDirectory: options.executableDirectory ?? ownFolder(host),
  };
}
