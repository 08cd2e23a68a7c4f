import {
  type ComputeSystemDocument,
  type HvSocketServiceConfig,
  scsiControllerGuids,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import {
  administratorsOnly,
  checkHostHas,
  comPorts,
  fieldsOf,
  firstBuildWithNumaAffinity,
  type HostFacts,
  hasBuild,
  hvSocket,
  type RuntimeOptions,
  refuse,
  refusePartitionOfGroup,
  type ServiceTable,
  storageQoS,
} from "@uvm-shim/sandbox-common";
import { keyOf, readAnnotations } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { hasLayers, parseWindowsLayers, type RootfsMount, type WindowsLayers } from "../layers.ts";
import { annotationsOf, readOptions } from "../options.ts";
import type { LogForwarding, WindowsSandboxSettings } from "../settings.ts";
import { layerBoot } from "./boot.ts";
import { checkWithoutPolicy, confidentialBoot } from "./confidential.ts";
import { crashDumps } from "./crash-dumps.ts";
import { logSources } from "./log-sources.ts";
import { registryChanges } from "./registry.ts";
import { resourcesOf } from "./resources.ts";
import { computeTopology, podSize } from "./topology.ts";

/** Address space of the guest for files of shares that it maps. */
const directFileMappingMb = 1024;

/** What a Windows sandbox's document is made from. */
export interface WindowsSandboxRequest {
  /** Recorded as the owner of the compute system. */
  readonly owner: string;
  /** The VM's id, by which its dumps are named. */
  readonly vmId: string;
  /** The sandbox's folder. */
  readonly bundle: string;
  /** Annotations of the sandbox, from config.json or from CRI's pod configuration. */
  readonly annotations: { readonly [key: string]: string };
  readonly options?: RuntimeOptions;
  /** config.json as parsed JSON, if there is one: its `windows` is read. */
  readonly specification?: unknown;
  /** Mounts of the request; none if the layers are in the specification, or if the caller has none. */
  readonly rootfs?: readonly RootfsMount[];
  readonly host: HostFacts;
}

/** The document of a Windows sandbox's VM, and what else follows from the request. */
export interface WindowsSandbox {
  readonly document: ComputeSystemDocument;
  readonly settings: WindowsSandboxSettings;
  /** Warnings about settings without their full effect. */
  readonly warnings: readonly string[];
}

/**
 * Builds the document of a Windows utility VM; the same input gives the same document. Throws SandboxError:
 * InvalidArgument and Unimplemented name an annotation, an option or a field of the request, FailedPrecondition a field
 * of the document that the host is too old for.
 */
export function buildWindowsSandbox(request: WindowsSandboxRequest): WindowsSandbox {
  const { owner, bundle, vmId, specification, options = {}, host } = request;
  const warnings: string[] = [];
  const warn = (sentence: string): void => void warnings.push(sentence);
  checkSpecification(specification, warn);
  const isHypervSpecified = fieldsOf(fieldsOf(specification).windows).hyperv != null;
  const optionSettings = readOptions(options, host, isHypervSpecified, warn);
  const { values, serviceTable } = readAnnotations({ ...annotationsOf(options), ...request.annotations }, warn);
  const context: Context = { values, options, host, resources: resourcesOf(specification), warn };
  refusePartitionOfGroup(values);

  const layers = layersOf(request);
  const policy = values.securityPolicy || undefined;
  const isConfidential = policy !== undefined;
  if (!isConfidential) checkWithoutPolicy(context);
  const topology = computeTopology(context, isConfidential);
  const confidential = isConfidential ? confidentialBoot(context, { policy, layers, bundle, vmId }) : undefined;
  const { machine, disks, shares, preparation } = confidential ?? layerBoot(context, layers, bundle);
  const dumps = crashDumps(context, vmId);
  const forwarding = logForwarding(context, isConfidential);
  const { resources } = context;
  const document: ComputeSystemDocument = {
    Owner: owner,
    // Isolation needs 2.5; everything else is in 2.1, the first version for utility VMs.
    SchemaVersion: { Major: 2, Minor: isConfidential ? 5 : 1 },
    // When a shim is killed, its VM ends.
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      ...machine,
      ComputeTopology: topology,
      RegistryChanges: registryChanges(values),
      ...storageQoS(values.storageIops || resources.storageIops, values.storageBandwidth || resources.storageBandwidth),
      ...(values.resourcePartition ? { ResourcePartitionId: values.resourcePartition } : {}),
      ...dumps.machine,
      Devices: {
        // The guest finds disks by their LUN alone, so that there is one controller.
        Scsi: { [scsiControllerGuids[0]]: { Attachments: Object.fromEntries(disks.entries()) } },
        HvSocket: hvSocket({
          DefaultBindSecurityDescriptor: administratorsOnly,
          ServiceTable: hvSocketServices(serviceTable, forwarding !== undefined),
        }),
        VirtualSmb: { DirectFileMappingInMB: directFileMappingMb, Shares: shares },
        ...comPorts(values),
        ...dumps.devices,
      },
    },
  };
  checkHostHas(document, host);
  return {
    document,
    settings: {
      ...optionSettings,
      preparation: { ...preparation, vmGroupAccess: dumps.folders },
      gcsService: isConfidential ? windowsHvsocketServices.sidecarGcs : windowsHvsocketServices.gcs,
      logForwarding: forwarding,
      inheritsTimeZone: !(values.noInheritTimeZone ?? options.noInheritHostTimezone ?? false),
      processDumpLocation: values.processDumpLocation || undefined,
      noWritableFileShares: values.noWritableFileShares ?? false,
      noDirectMap: (values.vsmbNoDirectMap || values.fullyPhysicallyBacked) ?? false,
      disablesHostProcess: values.disableHostProcess ?? false,
      disablesGmsa: values.disableGmsa ?? false,
      processors: topology.Processor.Count,
      scalesCpuLimits: options.scaleCpuLimitsToSandbox ?? false,
      propagateNumaAffinity: hasBuild(host, firstBuildWithNumaAffinity),
      confidential: confidential?.settings,
      size: podSize(context, isConfidential, topology),
    },
    warnings,
  };
}

function checkSpecification(specification: unknown, warn: (sentence: string) => void): void {
  const { linux, windows } = fieldsOf(specification);
  if (linux !== undefined && linux !== null) {
    refuse("linux", linux, "nothing: this shim runs pods of Windows containers");
  }
  const { devices } = fieldsOf(windows);
  if (Array.isArray(devices) && devices.length > 0) {
    warn("windows.devices has no effect on a sandbox: devices are assigned to containers");
  }
}

function layersOf({ specification, rootfs = [], host }: WindowsSandboxRequest): WindowsLayers | undefined {
  const { layerFolders } = fieldsOf(fieldsOf(specification).windows);
  if (!hasLayers({ layerFolders, rootfs })) return undefined;
  return parseWindowsLayers({ layerFolders, rootfs, grammar: host.pathGrammar });
}

/** Off by default where a policy decides what may leave the guest. */
function logForwarding({ values, warn }: Context, isConfidential: boolean): LogForwarding | undefined {
  const { logForwarding: isWanted = !isConfidential, logSources: sources = "", defaultLogSources = true } = values;
  if (isWanted) {
    const wanted = { wanted: sources, withDefaults: defaultLogSources, isConfidential };
    return { sources: logSources(wanted), isRequired: isConfidential };
  }
  if (sources) warn(`annotation ${keyOf("logSources")} has no effect, as no logs are forwarded`);
  return undefined;
}

function hvSocketServices(table: ServiceTable, forwardsLogs: boolean): ServiceTable {
  const log: HvSocketServiceConfig = {
    AllowWildcardBinds: true,
    BindSecurityDescriptor: administratorsOnly,
    ConnectSecurityDescriptor: administratorsOnly,
  };
  const given = Object.entries(table).map(([guid, config]) => [guid, withoutDefaults(config)]);
  return { ...Object.fromEntries(given), ...(forwardsLogs && { [windowsHvsocketServices.log]: log }) };
}

/** False and the empty text say nothing. */
function withoutDefaults(config: HvSocketServiceConfig): HvSocketServiceConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => Boolean(value)));
}
