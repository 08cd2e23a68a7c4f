/** What annotations of a container ask of the guest. */
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import type { PodPlaces } from "./container-mounts.ts";

const shmSizeKey = "io.microsoft.lcow.shm.size-kb";
const coreLimitKey = "io.microsoft.lcow.rlimitcore";
const teeLogKey = "io.microsoft.container.lcow.tee-log-path";
const teeLogMountKey = "io.microsoft.container.lcow.tee-log-dir-mount";
const shmPath = "/dev/shm";

export interface AnnotatedSpecification {
  readonly spec: OciSpec;
  /** File of the guest that the first process's output goes to besides. */
  readonly outputCopy: string | undefined;
}

/** Throws a GuestFault naming the annotation that cannot be honoured. */
export function applyAnnotations(given: OciSpec, places: Pick<PodPlaces, "logs">): AnnotatedSpecification {
  const annotations = given.annotations ?? {};
  let spec = given;
  const shmSize = annotations[shmSizeKey];
  if (shmSize !== undefined) spec = withShmOf(spec, shmSize);
  const coreLimit = annotations[coreLimitKey];
  if (coreLimit !== undefined) spec = withCoreLimit(spec, coreLimit);
  const logMount = annotations[teeLogMountKey];
  if (logMount !== undefined) {
    if (!logMount.startsWith("/")) throw refused(teeLogMountKey, logMount, "an absolute path");
    const mount = { destination: logMount, type: "bind", source: places.logs("", teeLogMountKey), options: ["rbind"] };
    spec = { ...spec, mounts: [...(spec.mounts ?? []), mount] };
  }
  const log = annotations[teeLogKey];
  if (log === undefined) return { spec, outputCopy: undefined };
  if (log === "" || log.startsWith("/") || log.split("/").includes("..")) {
    throw refused(teeLogKey, log, 'a relative path without ".."');
  }
  return { spec, outputCopy: `${places.logs(posix.dirname(log), teeLogKey)}/${posix.basename(log)}` };
}

function withShmOf(spec: OciSpec, kibibytes: string): OciSpec {
  if (!/^[1-9]\d{0,19}$/.test(kibibytes)) throw refused(shmSizeKey, kibibytes, "a positive number of KiB");
  const mount = {
    destination: shmPath,
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${kibibytes}k`],
  };
  return { ...spec, mounts: [...(spec.mounts ?? []).filter(({ destination }) => destination !== shmPath), mount] };
}

function withCoreLimit(spec: OciSpec, limits: string): OciSpec {
  const [, soft, hard] = /^(\d{1,20});(\d{1,20})$/.exec(limits) ?? [];
  if (soft === undefined || hard === undefined) throw refused(coreLimitKey, limits, "<soft>;<hard> in bytes");
  const process = spec.process ?? { cwd: "/" };
  const others = (process.rlimits ?? []).filter(({ type }) => type !== "RLIMIT_CORE");
  const rlimits = [...others, { type: "RLIMIT_CORE", soft: Number(soft), hard: Number(hard) }];
  return { ...spec, process: { ...process, rlimits } };
}

function refused(key: string, value: string, accepted: string): GuestFault {
  const annotation = `OciSpecification.annotations.${key}`;
  return new GuestFault("E_INVALIDARG", `${annotation} is ${JSON.stringify(value)}, accepted is ${accepted}`);
}
