/** What follows from a Windows sandbox's request beside its document. */
import type { OptionSettings, PodSize } from "@uvm-shim/sandbox-common";

/** What follows from a request and is not in the document. */
export interface WindowsSandboxSettings extends OptionSettings {
  readonly preparation: HostPreparation;
  /** The hvsocket service of the guest that serves the GCS protocol; another one in a confidential VM. */
  readonly gcsService: string;
  /** Undefined if no logs are forwarded. */
  readonly logForwarding: LogForwarding | undefined;
  /** Otherwise the guest has UTC. */
  readonly inheritsTimeZone: boolean;
  /** Where processes of containers that crash are dumped, unless a container says otherwise. */
  readonly processDumpLocation: string | undefined;
  readonly noWritableFileShares: boolean;
  /** Whether files of VSMB shares are never mapped directly into the guest's memory. */
  readonly noDirectMap: boolean;
  readonly disablesHostProcess: boolean;
  readonly disablesGmsa: boolean;
  /** The VM's, to which containers are limited. */
  readonly processors: number;
  readonly scalesCpuLimits: boolean;
  /** Whether devices that are assigned later propagate their NUMA node to the guest, as newer hosts can. */
  readonly propagateNumaAffinity: boolean;
  readonly confidential: WindowsConfidentialSettings | undefined;
  /** Decides whether the VM is large enough for its containers. */
  readonly size: PodSize;
}

/** What must be done on the host before the VM is created, in the order of the fields. */
export interface HostPreparation {
  /** Made with their parents, if missing. */
  readonly folders: readonly string[];
  readonly copies: readonly FileCopy[];
  /** Files and folders that the VM gets access to. */
  readonly vmAccess: readonly string[];
  /** Folders that all VMs get full access to. */
  readonly vmGroupAccess: readonly string[];
  /** Marks in virtual disks, by which the guest recognises them. */
  readonly diskIdentifiers: readonly { readonly path: string; readonly identifier: string }[];
}

/** A file to be copied before the VM is created. */
export interface FileCopy {
  readonly from: string;
  readonly to: string;
  /** `keep`: a file that is there already is used as it is; `replace`: it is left over from an earlier VM. */
  readonly existing: "keep" | "replace";
}

/** What the guest is told to forward of its logs. */
export interface LogForwarding {
  /** Base64 of what the guest is told to forward. */
  readonly sources: string;
  /** A guest with a policy must accept the sources; else the VM works without logs too. */
  readonly isRequired: boolean;
}

/** What guest and host need for a VM with a security policy. */
export interface WindowsConfidentialSettings {
  /** In base64, as given. */
  readonly policy: string;
  /** Empty: the guest chooses. */
  readonly enforcer: string;
  /** Paths of reference information for attestation; empty for none. The files need not exist. */
  readonly referenceInfoFile: string;
  readonly hashEnvelopeReferenceInfoFile: string;
  /** Copied when the VM has ended, for those who debug it; best effort. */
  readonly preserved: { readonly folder: string; readonly copies: readonly { from: string; to: string }[] } | undefined;
}
