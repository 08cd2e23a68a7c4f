import type { OciMount } from "@uvm-shim/hcs-schema";
import type { ShareConfig } from "../types.ts";
import type { DiskMountPlan } from "./disk-mounts.ts";

/** How one mount of the specification is realized. */
export type MountPlan =
  /** The source is in the guest: a file system of its kernel, or a path of its own. */
  | { readonly kind: "guest"; readonly mount: OciMount }
  /** A file or directory of the host is shared; `file` is the name in the share if it is a single file. */
  | {
      readonly kind: "share";
      readonly mount: OciMount;
      readonly share: ShareConfig;
      readonly file: string | undefined;
    }
  /** A disk is attached. */
  | DiskMountPlan;
