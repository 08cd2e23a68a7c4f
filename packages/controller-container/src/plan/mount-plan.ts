import type { OciMount } from "@uvm-shim/hcs-schema";
import type { ShareConfig } from "../types.ts";
import type { DiskMountPlan } from "./disk-mounts.ts";

/** What becomes of one mount of the specification. */
export type MountPlan =
  /** The guest has it: a file system of its kernel's, or a place of its own. */
  | { readonly kind: "guest"; readonly mount: OciMount }
  /** The host's file or directory is shared; `file` is the name below the share when it is a single file. */
  | {
      readonly kind: "share";
      readonly mount: OciMount;
      readonly share: ShareConfig;
      readonly file: string | undefined;
    }
  /** A disk is attached. */
  | DiskMountPlan;
