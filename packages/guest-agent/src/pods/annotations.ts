/** The annotations of a container that the guest applies. */
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import type { OutputCopyPlace } from "../process/output-copy.ts";
import type { SharedFolders } from "./shared-folders.ts";

const shmSizeKey = "io.microsoft.lcow.shm.size-kb";
const coreLimitKey = "io.microsoft.lcow.rlimitcore";
const teeLogKey = "io.microsoft.container.lcow.tee-log-path";
const teeLogMountKey = "io.microsoft.container.lcow.tee-log-dir-mount";
const shmPath = "/dev/shm";

/** Applies the size of /dev/shm. Throws a GuestFault naming the annotation. */
export function withShmSize(spec: OciSpec): OciSpec {
  const kibibytes = spec.annotations?.[shmSizeKey];
  if (kibibytes === undefined) return spec;
  if (!/^[1-9]\d{0,19}$/.test(kibibytes)) throw refused(shmSizeKey, kibibytes, "a positive number of KiB");
  const mount = {
    destination: shmPath,
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${kibibytes}k`],
  };
  return { ...spec, mounts: [...(spec.mounts ?? []).filter(({ destination }) => destination !== shmPath), mount] };
}

/** Applies the limit of core files. Throws a GuestFault naming the annotation. */
export function withCoreLimit(spec: OciSpec): OciSpec {
  const limits = spec.annotations?.[coreLimitKey];
  if (limits === undefined || limits === "") return spec;
  const [, soft, hard] = /^(\d{1,20});(\d{1,20})$/.exec(limits) ?? [];
  if (soft === undefined || hard === undefined) throw refused(coreLimitKey, limits, "<soft>;<hard> in bytes");
  const process = spec.process ?? { cwd: "/" };
  const others = (process.rlimits ?? []).filter(({ type }) => type !== "RLIMIT_CORE");
  const rlimits = [...others, { type: "RLIMIT_CORE", soft: Number(soft), hard: Number(hard) }];
  return { ...spec, process: { ...process, rlimits } };
}

/** Mounts the log folder in the container. Throws a GuestFault naming the annotation. */
export function withLogFolder(spec: OciSpec, places: Pick<SharedFolders, "logs">): OciSpec {
  const destination = spec.annotations?.[teeLogMountKey];
  if (destination === undefined || destination === "") return spec;
  if (!destination.startsWith("/")) throw refused(teeLogMountKey, destination, "an absolute path");
  const mount = { destination, type: "bind", source: places.logs("", teeLogMountKey), options: ["bind"] };
  return { ...spec, mounts: [...(spec.mounts ?? []), mount] };
}

/** The file of the guest that receives a copy of the first process's output, if any. Throws a GuestFault. */
export function outputCopyOf(
  { annotations = {} }: OciSpec,
  places: Pick<SharedFolders, "logs">,
): OutputCopyPlace | undefined {
  const log = annotations[teeLogKey];
  if (log === undefined || log === "") return undefined;
  if (log.startsWith("/") || log.split("/").includes("..")) {
    throw refused(teeLogKey, log, 'a relative path without ".."');
  }
  places.logs(posix.dirname(log), teeLogKey);
  return { folder: places.logs("", teeLogKey), file: log };
}

function refused(key: string, value: string, accepted: string): GuestFault {
  const annotation = `OciSpecification.annotations.${key}`;
  return new GuestFault("E_INVALIDARG", `invalid ${annotation} ${JSON.stringify(value)}: expected ${accepted}`);
}
