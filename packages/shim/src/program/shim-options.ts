import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, Platform, UpstreamStdio } from "../platform.ts";
import type { ReadyVms } from "../ready-vms.ts";
import type { GrpcPart } from "../sandboxer/grpc-part.ts";
import type { WindowsCalls } from "../system/system.ts";
import type { TelemetryPart } from "../telemetry/part.ts";

/** What a platform gets from the shim that it is loaded by. */
export interface PlatformContext {
  readonly log: Log;
  /** A rate-limited `log`, for lines from or about the guest, which decides how many there are. */
  readonly guestLog: Log;
  /** A rate-limited `log`, for lines about specifications and annotations, whose number a pod's author decides. */
  readonly requestLog: Log;
  /** Omits lines below this level from now on; absent where the level is fixed. */
  readonly setLogLevel?: (level: Parameters<Log["log"]>[0]) => void;
  readonly upstreamStdio: UpstreamStdio;
  readonly env: NodeJS.ProcessEnv;
  /** The folder of the programs and files that are installed with the shim. */
  readonly executableDirectory: string;
  readonly namespace: string;
  /** Whether this process serves no other pod: then it belongs to the pod, and its use of resources is the pod's. */
  readonly servesOnePod: boolean;
  /** Absent where there are none. */
  readonly readyVms?: ReadyVms;
}

/** What `runShim` makes a shim from. */
export interface ShimOptions {
  /** Name of the executable, such as containerd-shim-lcow-v2. */
  readonly name: string;
  /** Name of the runtime in containerd's configuration, such as io.containerd.lcow.v2. */
  readonly runtimeName: string;
  readonly version: string;
  readonly flavour: "lcow" | "wcow";
  /** The commit that the executable was built from. */
  readonly revision: string;
  /** What containers may use, as `Features` of the OCI runtime specification; without it, clients assume little. */
  readonly features?: object;
  /** Throws if the environment names a host in a way that `loadPlatform` does not understand. */
  readonly checkHost?: (env: NodeJS.ProcessEnv) => Promise<void>;
  readonly loadPlatform: (context: PlatformContext) => Promise<Platform>;
  /** Called only if the environment asks for telemetry; without it there is none. */
  readonly loadTelemetry?: () => Promise<TelemetryPart>;
  /** Called only by a sandboxer; without it there is none. */
  readonly loadGrpc?: () => Promise<GrpcPart>;
  /** How `start` runs the serving process; default: the command that runs this process. */
  readonly command?: { readonly file: string; readonly arguments: readonly string[] };
  /** Default: the folder of the script that runs. */
  readonly executableDirectory?: string;
  /** Default: UVM_SHIM_SOCKET_DIRECTORY, else the directory that containerd names, else /run/containerd/s. */
  readonly socketDirectory?: string;
  readonly clock?: Clock;
  /** The Windows calls that Node lacks; absent on other systems. */
  readonly loadWindowsCalls?: (() => Promise<WindowsCalls>) | undefined;
  /** How long `start` waits for the end of its standard input; default 5000 ms. */
  readonly inputMilliseconds?: number;
  /** How long `start` waits for the serving process to accept connections; default 10 000 ms. */
  readonly startMilliseconds?: number;
  /** How long a serving shim without sandbox and task runs before it exits; default 60 000 ms. */
  readonly orphanMilliseconds?: number;
  /** How long the platform's cleanup may take; default, and at most, what is left of containerd's 5 s for `delete`. */
  readonly cleanUpMilliseconds?: number;
}
