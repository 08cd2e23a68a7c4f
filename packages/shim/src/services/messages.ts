/** Conversions between the generated messages and the shim's own types. */
import { containerd, type google } from "../generated/messages.js";
import type { Exit, Process, RootfsMount, StdioPaths } from "../platform.ts";

/** A time as messages take it. */
export type Timestamp = google.protobuf.Timestamp.Input;

/** A time as messages have it: seconds since 1970, and nanoseconds from 0 up, also before that. */
export function timestampOf(date: Date): Timestamp {
  const seconds = Math.floor(date.getTime() / 1000);
  return { seconds, nanos: (date.getTime() - seconds * 1000) * 1_000_000 };
}

/** A time as Windows writes it, with up to seven digits of a second's fraction; undefined for any other text. */
export function timestampOfText(text: string | undefined): Timestamp | undefined {
  const [, second, fraction = ""] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(text ?? "") ?? [];
  const milliseconds = second === undefined ? Number.NaN : Date.parse(`${second}Z`);
  if (Number.isNaN(milliseconds)) return undefined;
  return { seconds: milliseconds / 1000, nanos: Number(fraction.padEnd(9, "0")) };
}

/** The fields of an exit in an answer; none while there is none. */
export function exitFields(exit: Exit | undefined): { exitStatus?: number; exitedAt?: Timestamp } {
  return exit === undefined ? {} : { exitStatus: exit.status, exitedAt: timestampOf(exit.exitedAt) };
}

const taskStatuses = {
  created: containerd.v1.types.Status.CREATED,
  running: containerd.v1.types.Status.RUNNING,
  stopped: containerd.v1.types.Status.STOPPED,
} as const satisfies Record<Process["state"], number>;

/** containerd's status of a process. */
export function taskStatus(state: Process["state"], isPaused: boolean): containerd.v1.types.Status {
  return isPaused && state === "running" ? containerd.v1.types.Status.PAUSED : taskStatuses[state];
}

/** The client's ends as a request names them, unchecked, and the container that they are for. */
export function stdioOf(
  request: { readonly stdin: string; readonly stdout: string; readonly stderr: string; readonly terminal: boolean },
  containerId: string,
): StdioPaths {
  const { stdin, stdout, stderr, terminal } = request;
  return { stdin, stdout, stderr, terminal, containerId };
}

/** The mounts of a root file system as a request names them. */
export function rootfsOf(mounts: readonly containerd.types.Mount[]): RootfsMount[] {
  return mounts.map(({ type, source, target, options }) => ({
    type,
    source,
    options,
    ...(target === "" ? {} : { target }),
  }));
}

/** Go's name of this machine's architecture, which image platforms use. */
export function architecture(): string {
  switch (process.arch) {
    case "x64":
      return "amd64";
    case "ia32":
      return "386";
    default:
      return process.arch;
  }
}
