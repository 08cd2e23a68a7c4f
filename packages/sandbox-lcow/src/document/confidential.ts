import {
  type Chipset,
  type HvSocketServiceConfig,
  linuxVsockPorts,
  type VirtualMachine,
  vsockServiceGuid,
} from "@uvm-shim/hcs-schema";
import {
  administratorsOnly,
  decodePolicy,
  encodeBase64,
  joinPath,
  refuse,
  type ServiceTable,
  secureBootTemplate,
  serviceTablePrefix,
} from "@uvm-shim/sandbox-common";
import { type AnnotationName, type AnnotationValues, keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { bootFolder } from "./boot.ts";

/** What guest and host need for a VM with a security policy. */
export interface ConfidentialSettings {
  /** In base64, as given. */
  readonly policy: string;
  /** Empty if the annotation is empty: the guest then chooses. */
  readonly enforcer: string;
  /** Paths of reference information for attestation; empty for none. The files need not exist. */
  readonly referenceInfoFile: string;
  readonly hashEnvelopeReferenceInfoFile: string;
  /** Whether hardware isolates the VM; the policy is enforced in either case. */
  readonly isolated: boolean;
  /** Files to copy before the VM is created; the VM needs read and write access to the copies. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
}

/** Everyone may bind: the host's service checks connections of isolated VMs by other means. */
const everyone = "D:P(A;;FA;;;WD)";
const rootFsFile = "rootfs.vhd";

const isolatedOnly = ["dmVerityRootFsVhd", "guestStateFile", "hclEnabled", "extraVsockPorts"] as const;
const contradictory = [
  "kernelDirectBoot",
  "numaProcessorsPerNode",
  "numaMemoryPerNode",
  "numaPreferredNodes",
  "numaMappedNodes",
  "numaProcessors",
  "numaMemoryBlocks",
] as const satisfies readonly AnnotationName[];
const ignored = [
  "preferredRootFs",
  "kernelBootOptions",
  "vpciEnabled",
  "disableTimeSync",
  "writableOverlays",
  "extraExecArguments",
  "processDumpLocation",
  "consolePipe",
  "dmVerityMode",
  "dmVerityCreateArgs",
] as const satisfies readonly AnnotationName[];

/** Whether the VM has a security policy and hardware isolation. */
export function isIsolated(values: AnnotationValues): boolean {
  return Boolean(values.securityPolicy) && !values.noSecurityHardware;
}

/** The settings of a VM with a security policy; undefined for others. */
export function confidentialSettings(context: Context, bundle: string): ConfidentialSettings | undefined {
  const { values, warn } = context;
  const isolated = isIsolated(values);
  if (!isolated) {
    for (const name of isolatedOnly.filter((name) => isSet(values[name]))) {
      warn(`annotation ${keyOf(name)} has no effect on a VM that no hardware isolates`);
    }
  }
  const { securityPolicy: policy } = values;
  if (!policy) return undefined;
  decodePolicy(keyOf("securityPolicy"), policy);
  const folder = bootFolder(context);
  // An empty name asks for no file.
  const inFolder = (name: string): string => (name === "" ? "" : joinPath(context.host.pathGrammar, folder.path, name));
  return {
    policy,
    enforcer: values.securityPolicyEnforcer ?? "rego",
    referenceInfoFile: inFolder(values.referenceInfoFile ?? "reference_info.cose"),
    hashEnvelopeReferenceInfoFile: inFolder(
      values.hashEnvelopeReferenceInfoFile ?? "reference_info_hash_envelope.cose",
    ),
    isolated,
    copies: isolated ? isolatedFiles(context, bundle).copies : [],
  };
}

/** The parts of a document of a VM that is isolated from its host. */
export interface IsolatedMachine {
  readonly chipset: Chipset;
  readonly rootFsVhd: string;
  readonly parts: Pick<VirtualMachine, "GuestState" | "SecuritySettings">;
}

/** A VM that boots from a guest state file, with the policy's digest in its launch measurement. */
export function isolatedMachine(context: Context, bundle: string): IsolatedMachine {
  const { values, host, warn } = context;
  for (const name of contradictory) {
    const value = values[name];
    if (isSet(value))
      refuse(keyOf(name), value, "nothing: confidential VMs boot from their guest state file, without NUMA");
  }
  for (const name of ignored.filter((name) => isSet(values[name]))) {
    warn(`annotation ${keyOf(name)} has no effect on a confidential VM, whose kernel line is measured`);
  }
  for (const [field, value] of Object.entries({
    log_level: context.options.logLevel,
    scrub_logs: context.options.scrubLogs,
  })) {
    if (isSet(value)) warn(`option ${field} has no effect in a confidential VM, whose kernel line is measured`);
  }
  const { guestState, rootFsVhd } = isolatedFiles(context, bundle);
  return {
    chipset: { Uefi: { ApplySecureBootTemplate: "Apply", SecureBootTemplateId: secureBootTemplate } },
    rootFsVhd,
    parts: {
      // State is read from the copy and never written back.
      GuestState: { GuestStateFilePath: guestState, GuestStateFileType: "FileMode", ForceTransientState: true },
      SecuritySettings: {
        Isolation: {
          IsolationType: "SecureNestedPaging",
          LaunchData: encodeBase64(host.sha256(decodePolicy(keyOf("securityPolicy"), values.securityPolicy ?? ""))),
          ...(values.hclEnabled !== undefined && { HclEnabled: values.hclEnabled }),
        },
      },
    },
  };
}

/** Allows only the ports that the guest needs and those of the annotation. */
export function isolatedHvSocket({ values }: Context, serviceTable: ServiceTable) {
  const { entropy, log, gcs } = linuxVsockPorts;
  const service: HvSocketServiceConfig = {
    AllowWildcardBinds: true,
    BindSecurityDescriptor: everyone,
    ConnectSecurityDescriptor: administratorsOnly,
  };
  const table: { [guid: string]: HvSocketServiceConfig } = { ...serviceTable };
  for (const port of new Set([entropy, log, gcs, gcs + 1, ...(values.extraVsockPorts ?? [])])) {
    const guid = vsockServiceGuid(port);
    if (table[guid] !== undefined) {
      refuse(
        `${serviceTablePrefix}${guid}`,
        table[guid],
        `nothing: the shim configures port ${port} of a confidential VM`,
      );
    }
    table[guid] = service;
  }
  return {
    DefaultBindSecurityDescriptor: everyone,
    DefaultConnectSecurityDescriptor: administratorsOnly,
    ServiceTable: table,
  };
}

function isolatedFiles(context: Context, bundle: string) {
  const { values, host } = context;
  const folder = bootFolder(context);
  const name = values.guestStateFile || "kernel.vmgs";
  if (name.toLowerCase() === rootFsFile) refuse(keyOf("guestStateFile"), name, `another name than ${rootFsFile}`);
  const guestState = joinPath(host.pathGrammar, bundle, name);
  const rootFsVhd = joinPath(host.pathGrammar, bundle, rootFsFile);
  return {
    guestState,
    rootFsVhd,
    copies: [
      { from: folder.require(name), to: guestState },
      { from: folder.require(values.dmVerityRootFsVhd || rootFsFile), to: rootFsVhd },
    ],
  };
}

/** Whether a value is set; false, 0, the empty text and empty lists are not. */
function isSet(value: unknown): boolean {
  return Array.isArray(value)
    ? value.length > 0
    : value !== undefined && value !== false && value !== 0 && value !== "";
}
