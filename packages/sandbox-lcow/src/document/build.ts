import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import {
  administratorsOnly,
  checkHostHas,
  comPorts,
  firstBuildWithNumaAffinity,
  type HostFacts,
  hasBuild,
  hvSocket,
  type OptionSettings,
  type RuntimeOptions,
  refuse,
  refusePartitionOfGroup,
  storageQoS,
} from "@uvm-shim/sandbox-common";
import { keyOf, readAnnotations } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { readOptions } from "../options.ts";
import { standardBoot } from "./boot.ts";
import {
  type ConfidentialSettings,
  confidentialSettings,
  isIsolated,
  isolatedHvSocket,
  isolatedMachine,
} from "./confidential.ts";
import { scsiControllers, virtualPci } from "./devices.ts";
import { podLimits } from "./pod-limits.ts";
import type { PodSize } from "./pod-size.ts";
import { computeTopology, podSize } from "./topology.ts";

/** What a Linux sandbox's document is made from. */
export interface LinuxSandboxRequest {
  /** Recorded as the owner of the compute system. */
  readonly owner: string;
  /** The sandbox's folder, which gets copies of the files that only its VM uses. */
  readonly bundle: string;
  /** Annotations of the sandbox, from config.json or from CRI's pod configuration. */
  readonly annotations: { readonly [key: string]: string };
  readonly options?: RuntimeOptions;
  /** config.json as parsed JSON, if there is one: its `devices` are assigned to the VM from the start. */
  readonly specification?: unknown;
  /** CRI's pod configuration in the form of a specification: its resources are read. */
  readonly pod?: unknown;
  readonly host: HostFacts;
}

/** Settings that are not in the document, or that others need besides. */
export interface SandboxSettings extends OptionSettings {
  readonly noWritableFileShares: boolean;
  readonly encryptScratch: boolean;
  readonly policyBasedRouting: boolean;
  /** Whether devices that are assigned later propagate their NUMA node to the guest, as newer hosts can. */
  readonly propagateNumaAffinity: boolean;
  readonly confidential: ConfidentialSettings | undefined;
  /** Decides whether the VM is large enough for its containers. */
  readonly size: PodSize;
}

/** The document of a Linux sandbox's VM, and what else follows from the request. */
export interface LinuxSandbox {
  readonly document: ComputeSystemDocument;
  readonly settings: SandboxSettings;
  /** Warnings about settings without their full effect. */
  readonly warnings: readonly string[];
}

/**
 * Builds the document of a Linux utility VM; the same input gives the same document. Throws SandboxError:
 * InvalidArgument and Unimplemented name an annotation or option, FailedPrecondition a field of the document that the
 * host is too old for.
 */
export function buildLinuxSandbox(request: LinuxSandboxRequest): LinuxSandbox {
  const { owner, bundle, options = {}, host } = request;
  const warnings: string[] = [];
  const warn = (sentence: string): void => void warnings.push(sentence);
  const optionSettings = readOptions(options, host, warn);
  const annotations = { ...options.defaultContainerAnnotations, ...request.annotations };
  const { values, serviceTable } = readAnnotations(annotations, warn);
  const pod = podLimits(request.annotations, request.pod ?? request.specification);
  const context: Context = { values, options, host, pod, warn };
  const isolated = isIsolated(values);
  checkCombinations(context, isolated);

  const topology = computeTopology(context, isolated);
  const { chipset, rootFsVhd, parts } = isolated
    ? isolatedMachine(context, bundle)
    : { ...standardBoot(context, topology.Processor.Count), parts: {} };
  const confidential = confidentialSettings(context, bundle);
  // Devices of the document propagate their NUMA node if the VM has nodes; later devices do if the host can.
  const devices = {
    specification: request.specification,
    isolated,
    propagateNumaAffinity: topology.Numa !== undefined,
  };
  const document: ComputeSystemDocument = {
    Owner: owner,
    // Isolation needs 2.5; everything else is in 2.1, the first version for utility VMs.
    SchemaVersion: { Major: 2, Minor: isolated ? 5 : 1 },
    // When a shim is killed, its VM ends.
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      Chipset: chipset,
      ComputeTopology: topology,
      ...storageQoS(values.storageIops ?? 0, values.storageBandwidth ?? 0),
      ...(values.resourcePartition ? { ResourcePartitionId: values.resourcePartition } : {}),
      Devices: {
        Scsi: scsiControllers(rootFsVhd),
        HvSocket: hvSocket(
          isolated
            ? isolatedHvSocket(context, serviceTable)
            : { DefaultBindSecurityDescriptor: administratorsOnly, ServiceTable: serviceTable },
        ),
        ...virtualPci(context, devices),
        ...(isolated ? {} : comPorts(values)),
        // Must be present for shares to be added later, but prevents live migration.
        ...(values.liveMigration ? {} : { Plan9: {} }),
      },
      ...parts,
    },
  };
  checkHostHas(document, host);
  return {
    document,
    settings: {
      ...optionSettings,
      noWritableFileShares: values.noWritableFileShares ?? false,
      encryptScratch: values.encryptScratch ?? confidential !== undefined,
      policyBasedRouting: values.policyBasedRouting ?? false,
      propagateNumaAffinity: hasBuild(host, firstBuildWithNumaAffinity),
      confidential,
      size: podSize(context, isolated, topology),
    },
    warnings,
  };
}

function checkCombinations({ values, host, warn }: Context, isolated: boolean): void {
  if (values.vpmemCount) {
    const key = keyOf("vpmemCount");
    const without = values.fullyPhysicallyBacked || isolated || host.architecture === "arm64";
    if (!without) refuse(key, String(values.vpmemCount), "0: layers are SCSI disks");
    warn(`annotation ${key} has no effect on a VM that cannot have persistent memory`);
  }
  refusePartitionOfGroup(values);
  if (values.dmVerityCreateArgs && !values.dmVerityMode && !isolated) {
    warn(`annotation ${keyOf("dmVerityCreateArgs")} has no effect without ${keyOf("dmVerityMode")}`);
  }
}
