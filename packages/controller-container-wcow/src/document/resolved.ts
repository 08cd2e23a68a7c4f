import type { WindowsLayer } from "@uvm-shim/hcs-schema";
import type { CredentialGuardState } from "./container-document.ts";

/** What the acquisition of a plan's parts has found out: paths in the guest above all. */
export interface ResolvedContainer {
  /** The path of the root in the guest, and the layers as the container's document names them. */
  readonly root: { readonly path: string; readonly layers: readonly WindowsLayer[] };
  /** By the index of the plan's mounts: the path in the guest. Without effect for those that have their own. */
  readonly mounts: readonly (string | undefined)[];
  /** By the index of the plan's devices: the location paths of its children in the guest. */
  readonly devices: readonly (readonly string[])[];
  /** Present if the plan has a credential. */
  readonly credentialGuard?: CredentialGuardState;
  /** Needed if the plan's network is unnamed. */
  readonly networkNamespace?: string;
}
