import {
  anything,
  type Check,
  closedObject,
  type FieldChecks,
  filledText,
  integer,
  list,
  oneOf,
  openObject,
  optional,
  record,
  refine,
  SchemaError,
  text,
  textUnshown,
  truth,
  unshown,
} from "../check.ts";
import { checkGuid, checkSchemaVersion } from "../document/checks.ts";
import { checkDomain, checkIpAddress, checkIpPrefix, checkMacAddress } from "../hcn/hcn-checks.ts";
import type { OciLinux, OciMount, OciProcess, OciSpec, OciUser, OciWindows } from "../oci/oci.ts";
import { checkOciNamespaceType, checkOciPropagation, checkOciRlimits, checkOciSeccomp } from "../oci/oci-linux.ts";
import { checkOciLinuxResources } from "../oci/oci-resources.ts";
import { highestVsockPort, lunsPerScsiController, scsiControllerGuids } from "../wellknown.ts";
import type {
  GuestScsiDevice,
  LinuxCombinedLayers,
  LinuxContainerConstraints,
  LinuxContainerFreezer,
  LinuxGuestRequest,
  LinuxGuestResources,
  LinuxHostedContainerSettings,
  LinuxMappedDirectory,
  LinuxMappedVirtualDisk,
  LinuxNetworkAdapter,
  LinuxNetworkRoute,
  LinuxProcessParameters,
  LinuxVerityInfo,
  LinuxVpciDevice,
  SecurityPolicy,
  SecurityPolicyFragment,
} from "./guest.ts";

const controller = integer(0, scsiControllerGuids.length - 1);
const lun = integer(0, lunsPerScsiController - 1);
const unsigned32 = integer(0, 0xffffffff);
const hexadecimal = refine(text, "pairs of hexadecimal digits", (value) => /^([0-9a-f]{2})+$/i.test(value));

const linuxResources: { readonly [Type in keyof LinuxGuestResources]: Check<LinuxGuestResources[Type]> } = {
  MappedVirtualDisk: closedObject<LinuxMappedVirtualDisk>({
    MountPath: text,
    Controller: controller,
    Lun: lun,
    Partition: integer(0, 0xffff),
    ReadOnly: truth,
    Encrypted: optional(truth),
    Options: optional(list(text)),
    BlockDev: optional(truth),
    EnsureFilesystem: optional(truth),
    Filesystem: optional(text),
    VerityInfo: optional(
      closedObject<LinuxVerityInfo>({
        Ext4SizeInBytes: integer(1),
        Version: integer(0, 0xff),
        Algorithm: filledText,
        SuperBlock: truth,
        RootDigest: hexadecimal,
        Salt: hexadecimal,
        BlockSize: integer(512, 0x100000),
      }),
    ),
  }),
  SCSIDevice: closedObject<GuestScsiDevice>({ Controller: controller, Lun: lun }),
  MappedDirectory: closedObject<LinuxMappedDirectory>({
    MountPath: filledText,
    Port: integer(0, highestVsockPort),
    ShareName: filledText,
    ReadOnly: truth,
  }),
  CombinedLayers: closedObject<LinuxCombinedLayers>({
    ContainerID: text,
    ContainerRootPath: filledText,
    Layers: list(closedObject<{ readonly Path: string }>({ Path: filledText })),
    ScratchPath: text,
  }),
  Network: closedObject<LinuxNetworkAdapter>({
    NamespaceID: checkGuid,
    ID: checkGuid,
    MacAddress: optional(checkMacAddress),
    DNSSuffix: optional(commaSeparated(checkDomain)),
    DNSServerList: optional(commaSeparated(checkIpAddress)),
    EncapOverhead: optional(integer(0, 0xffff)),
    IPConfigs: optional(
      list(
        closedObject<{ readonly IPAddress: string; readonly PrefixLength: number }>({
          IPAddress: checkIpAddress,
          PrefixLength: integer(0, 128),
        }),
      ),
    ),
    Routes: optional(
      list(
        closedObject<LinuxNetworkRoute>({
          NextHop: optional(checkIpAddress),
          DestinationPrefix: checkIpPrefix,
          Metric: optional(integer(0, 0xffff)),
        }),
      ),
    ),
    PolicyBasedRouting: optional(truth),
  }),
  VPCIDevice: closedObject<LinuxVpciDevice>({ VMBusGUID: checkGuid }),
  PodCgroupMemoryLimit: (value, path = "") => {
    if (value !== undefined) throw new SchemaError(path, "expected no settings");
    return undefined;
  },
  ContainerConstraints: openObject<LinuxContainerConstraints>({ Linux: checkOciLinuxResources }),
  ContainerFreezer: closedObject<LinuxContainerFreezer>({ Frozen: truth }),
  SecurityPolicy: closedObject<SecurityPolicy>({
    EnforcerType: text,
    EncodedSecurityPolicy: filledText,
    EncodedUVMReference: optional(filledText),
    EncodedUVMHashEnvelopeReference: optional(filledText),
  }),
  SecurityPolicyFragment: closedObject<SecurityPolicyFragment>({
    Fragment: filledText,
    MediaType: optional(filledText),
  }),
};

function commaSeparated(item: Check<string>): Check<string> {
  return (value, path = "") => {
    const checked = text(value, path);
    if (checked !== "") for (const part of checked.split(",")) item(part, path);
    return checked;
  };
}

/** Resource types of modify requests to a Linux guest. */
export const linuxResourceTypes = [
  "MappedVirtualDisk",
  "SCSIDevice",
  "MappedDirectory",
  "CombinedLayers",
  "Network",
  "VPCIDevice",
  "PodCgroupMemoryLimit",
  "ContainerConstraints",
  "ContainerFreezer",
  "SecurityPolicy",
  "SecurityPolicyFragment",
] as const satisfies readonly LinuxGuestRequest["ResourceType"][];

const resourceType = oneOf(...linuxResourceTypes);

/** A modify request as a Linux guest reads it: the resource type decides which settings are expected. */
export const checkLinuxGuestRequest: Check<LinuxGuestRequest> = (value, path = "") => {
  const request = closedObject<{ ResourceType: string; RequestType: unknown; Settings: unknown }>({
    ResourceType: resourceType,
    RequestType: oneOf("Add", "Remove", "PreAdd", "Update"),
    Settings: anything,
  })(value, path);
  const settings = linuxResources[resourceType(request.ResourceType)];
  return {
    ...request,
    Settings: settings(request.Settings, path === "" ? "Settings" : `${path}.Settings`),
  } as LinuxGuestRequest;
};

/** The kernel would ignore everything after a NUL. */
const wholeText = refine(text, "text without NUL", (value) => !value.includes("\0"));

// The OCI runtime specification asks readers to ignore unknown fields.
const ociProcess: FieldChecks<OciProcess> = {
  terminal: optional(truth),
  consoleSize: optional(openObject<{ height: number; width: number }>({ height: unsigned32, width: unsigned32 })),
  user: optional(
    openObject<OciUser>({
      uid: unsigned32,
      gid: unsigned32,
      umask: optional(unsigned32),
      additionalGids: optional(list(unsigned32)),
      username: optional(text),
    }),
  ),
  args: optional(unshown(list(wholeText))),
  env: optional(unshown(list(wholeText))),
  cwd: wholeText,
  capabilities: optional(record(nullAsEmpty(list(text)))),
  rlimits: optional(checkOciRlimits),
  noNewPrivileges: optional(truth),
  apparmorProfile: optional(text),
  oomScoreAdj: optional(integer(-1000, 1000)),
  selinuxLabel: optional(text),
};

function nullAsEmpty<T>(check: Check<readonly T[]>): Check<readonly T[]> {
  return (value, path) => check(value ?? [], path);
}

/**
 * `process` of the OCI runtime specification for a Linux container. Arguments and environment may hold secrets: errors
 * do not show them.
 */
export const checkOciProcess: Check<OciProcess> = textUnshown(openObject(ociProcess));

/**
 * The OCI runtime specification of a Linux container, as config.json and guests have it. Unknown fields are kept, as
 * the specification asks; values of annotations are not shown in errors.
 */
export const checkOciSpec: Check<OciSpec> = openObject<OciSpec>({
  ociVersion: filledText,
  hostname: optional(text),
  domainname: optional(text),
  process: optional(checkOciProcess),
  root: optional(openObject<NonNullable<OciSpec["root"]>>({ path: text, readonly: optional(truth) })),
  mounts: optional(
    list(
      openObject<OciMount>({
        destination: filledText,
        type: optional(text),
        source: optional(text),
        options: optional(list(text)),
      }),
    ),
  ),
  annotations: optional(unshown(record(text))),
  hooks: optional(anything),
  linux: optional(
    openObject<OciLinux>({
      resources: optional(checkOciLinuxResources),
      cgroupsPath: optional(text),
      namespaces: optional(
        list(openObject<{ type: string; path?: string }>({ type: checkOciNamespaceType, path: optional(text) })),
      ),
      devices: optional(list(openObject<{ readonly path: string }>({ path: filledText }))),
      seccomp: optional(checkOciSeccomp),
      sysctl: optional(record(text)),
      maskedPaths: optional(list(text)),
      readonlyPaths: optional(list(text)),
      rootfsPropagation: optional(checkOciPropagation),
      mountLabel: optional(text),
      uidMappings: optional(list(anything)),
      gidMappings: optional(list(anything)),
    }),
  ),
  windows: optional(
    openObject<OciWindows>({
      layerFolders: optional(list(text)),
      devices: optional(list(openObject<{ id: string; idType: string }>({ id: text, idType: text }))),
      network: optional(openObject<{ networkNamespace?: string }>({ networkNamespace: optional(text) })),
    }),
  ),
});

/** The configuration in a create message to a Linux guest, after its JSON string was parsed. */
export const checkLinuxHostedContainerSettings: Check<LinuxHostedContainerSettings> =
  closedObject<LinuxHostedContainerSettings>({
    SchemaVersion: checkSchemaVersion,
    OciBundlePath: filledText,
    OciSpecification: checkOciSpec,
    ScratchDirPath: text,
  });

const consoleSize: Check<readonly [number, number]> = (value, path = "") => {
  const [height, width, ...more] = list(integer(0, 0xffff))(value, path);
  if (height === undefined || width === undefined || more.length > 0) {
    throw new SchemaError(path, "expected [height, width]");
  }
  return [height, width];
};

/** The parameters in an execute message to a Linux guest, after their JSON string was parsed. */
export const checkLinuxProcessParameters: Check<LinuxProcessParameters> = closedObject<LinuxProcessParameters>({
  OCIProcess: optional(checkOciProcess),
  EmulateConsole: truth,
  CreateStdInPipe: truth,
  CreateStdOutPipe: truth,
  CreateStdErrPipe: truth,
  ConsoleSize: optional(consoleSize),
  CommandArgs: optional(list(text)),
  WorkingDirectory: optional(text),
  Environment: optional(record(text)),
});
