/** What the root of a container takes. */
export type RootPlan = FolderRoot | BlockCimRoot | MountedRoot;

/** Layers that are folders of the host: a VSMB share each, with takeBackupPrivilege, and a scratch disk over them. */
export interface FolderRoot {
  readonly kind: "folders";
  /** Topmost first. */
  readonly layers: readonly string[];
  readonly scratch: ScratchPlan;
}

/** Layers in block CIMs: a read-only disk each, which the guest mounts as one volume. */
export interface BlockCimRoot {
  readonly kind: "block-cims";
  /** The merged one first, if there are several; then topmost to base. */
  readonly cims: readonly BlockCimPlan[];
  readonly scratch: ScratchPlan;
}

/** A root that is mounted already: nothing is to be acquired but the ids of the layers. */
export interface MountedRoot {
  readonly kind: "mounted";
  readonly path: string;
  /** Topmost first; for a root of CIMs the root itself. An absent id is that of the path's last part. */
  readonly layers: readonly { readonly path: string; readonly id?: string }[];
}

/** An image, and the disk that it is in. */
export interface BlockCimPlan {
  readonly hostPath: string;
  readonly type: "VirtualDisk" | "PassThru";
  readonly cimName: string;
}

/** The disk that takes what a container writes. */
export interface ScratchPlan {
  readonly hostPath: string;
  /** Present if there is no scratch disk yet: it is to be made in this folder for these layers. */
  readonly missing?: { readonly folder: string; readonly parents: readonly string[] };
  /** Whether the guest formats it first, as a confidential one does. */
  readonly format: boolean;
}
