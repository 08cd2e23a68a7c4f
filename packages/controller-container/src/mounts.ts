import { basename, dirname, isAbsolute, posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "./refusal.ts";
import type { ContainerHostFiles, ShareConfig } from "./types.ts";

/** What becomes of one mount of the specification. */
export type MountPlan =
  /** The guest's kernel has it. */
  | { readonly kind: "guest"; readonly mount: OciMount }
  /** The host's file or directory is shared; `file` is the name below the share when it is a single file. */
  | {
      readonly kind: "share";
      readonly mount: OciMount;
      readonly share: ShareConfig;
      readonly file: string | undefined;
    };

const guestTypes = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"]);

export async function planMounts(
  mounts: readonly OciMount[],
  files: ContainerHostFiles,
  refuse: Refuse,
): Promise<readonly MountPlan[]> {
  return await Promise.all(
    mounts.map((mount, index) => planMount(mount, `config.json: mounts[${index}]`, files, refuse)),
  );
}

async function planMount(
  mount: OciMount,
  where: string,
  files: ContainerHostFiles,
  refuse: Refuse,
): Promise<MountPlan> {
  if (!posix.isAbsolute(mount.destination)) {
    throw refuse("InvalidArgument", `${where}.destination: ${JSON.stringify(mount.destination)} is no absolute path`);
  }
  if (isBind(mount)) return await planShare(mount, where, files, refuse);
  if (mount.type !== undefined && guestTypes.has(mount.type)) return { kind: "guest", mount: fieldsOf(mount) };
  throw refuse(
    "InvalidArgument",
    `${where}.type: ${JSON.stringify(mount.type ?? "")} at ${mount.destination} is not known, expected bind, ${[...guestTypes].join(", ")}`,
  );
}

function isBind({ type = "", options = [] }: OciMount): boolean {
  if (type === "bind") return true;
  return (type === "" || type === "none") && (options.includes("bind") || options.includes("rbind"));
}

async function planShare(
  mount: OciMount,
  where: string,
  files: ContainerHostFiles,
  refuse: Refuse,
): Promise<MountPlan> {
  const source = mount.source ?? "";
  if (!isAbsolute(source)) {
    throw refuse("InvalidArgument", `${where}.source: ${JSON.stringify(source)} is no absolute path on the host`);
  }
  const kind = await files.kind(source);
  const readOnly = mount.options?.includes("ro") ?? false;
  switch (kind) {
    case "directory":
      return { kind: "share", mount, share: { hostPath: await files.realPath(source), readOnly }, file: undefined };
    case "file": {
      const path = await files.realPath(source);
      const file = basename(path);
      return { kind: "share", mount, share: { hostPath: dirname(path), readOnly, allowedFiles: [file] }, file };
    }
    case undefined:
      throw refuse("NotFound", `${where}.source: ${source} does not exist on the host`);
    case "block":
    case "other":
      throw refuse(
        "InvalidArgument",
        `${where}.source: ${source} is neither a file nor a directory, which alone can be shared`,
      );
  }
}

/** The mount as the guest is given it once the share stands at `guestPath`. */
export function sharedMount(plan: MountPlan & { readonly kind: "share" }, guestPath: string): OciMount {
  const source = plan.file === undefined ? guestPath : posix.join(guestPath, plan.file);
  return { ...fieldsOf(plan.mount), type: "bind", source };
}

function fieldsOf({ destination, type, source, options }: OciMount): OciMount {
  return {
    destination,
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(options === undefined ? {} : { options }),
  };
}
