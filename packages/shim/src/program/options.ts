import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, Platform, UpstreamStdio } from "../platform.ts";
import type { WindowsCalls } from "../system/system.ts";

/** What the platform is given when it is loaded. */
export interface PlatformContext {
  readonly log: Log;
  /** For what a guest decides about, be it its own lines or what is said of its messages: as `log`, with a bound. */
  readonly guestLog: Log;
  /** For what a specification or annotations decide about, of which a pod's author writes as many as they like: bounded so. */
  readonly requestLog: Log;
  /** Lines below this level are left out of the log from now on; absent where the level is fixed. */
  readonly setLogLevel?: (level: Parameters<Log["log"]>[0]) => void;
  readonly upstreamStdio: UpstreamStdio;
  readonly env: NodeJS.ProcessEnv;
  /** Where the executable's companions are. */
  readonly executableDirectory: string;
  readonly namespace: string;
}

export interface ShimOptions {
  /** Name of the executable: containerd-shim-lcow-v2. */
  readonly name: string;
  /** Name of the runtime in containerd's configuration: io.containerd.lcow.v2. */
  readonly runtimeName: string;
  readonly version: string;
  /** What containers can ask for, as `Features` of the OCI runtime specification; callers assume little without it. */
  readonly features?: object;
  readonly loadPlatform: (context: PlatformContext) => Promise<Platform>;
  /** How `start` runs this program again as the serving shim; the way in which it was run itself unless told. */
  readonly command?: { readonly file: string; readonly arguments: readonly string[] };
  /** The folder of the script that runs unless told. */
  readonly executableDirectory?: string;
  /** Unless told: what containerd says, else UVM_SHIM_SOCKET_DIRECTORY, else /run/containerd/s. */
  readonly socketDirectory?: string;
  readonly clock?: Clock;
  /** On Windows: the calls that Node does not have. */
  readonly loadWindowsCalls?: (() => Promise<WindowsCalls>) | undefined;
  /** How long `start` waits for an end of its standard input; 5000 ms unless told. */
  readonly inputMilliseconds?: number;
  /** How long `start` waits for the serving process to accept connections; 10 000 ms unless told. */
  readonly startMilliseconds?: number;
  /** After which time a serving shim without sandbox and task ends by itself; 60 000 ms unless told. */
  readonly orphanMilliseconds?: number;
  /** What `delete` gives the platform to clean up, within containerd's 5 s; 4000 ms unless told. */
  readonly cleanUpMilliseconds?: number;
}
