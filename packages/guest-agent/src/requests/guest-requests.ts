/** Readers of the settings of modify requests. */
import { Fields, GuestFault, type ModifySettingsRequest } from "@uvm-shim/gcs-bridge";
import {
  checkOciLinuxResources,
  type GuestScsiDevice,
  type LinuxCombinedLayers,
  type LinuxGuestRequest,
  type LinuxMappedDirectory,
  type LinuxMappedVirtualDisk,
  type LinuxVpciDevice,
  linuxResourceTypes,
  lunsPerScsiController,
  type OciLinuxResources,
  SchemaError,
  type SecurityPolicy,
  type SecurityPolicyFragment,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import { spelledResources } from "../container/specification-names.ts";
import { readNetworkAdapter } from "../network/request.ts";

const path = "Request.Settings";

/** Throws a FieldError or a GuestFault naming the field. */
export function readGuestRequest(request: ModifySettingsRequest["Request"]): LinuxGuestRequest {
  const { ResourceType, RequestType } = request;
  const fields = (): Fields => new Fields(request.Settings, path);
  switch (ResourceType) {
    case "MappedVirtualDisk":
      return { ResourceType, RequestType, Settings: readMappedVirtualDisk(fields()) };
    case "SCSIDevice":
      return { ResourceType, RequestType, Settings: readScsiAddress(fields()) };
    case "MappedDirectory":
      return { ResourceType, RequestType, Settings: readMappedDirectory(fields()) };
    case "CombinedLayers":
      return { ResourceType, RequestType, Settings: readCombinedLayers(fields()) };
    case "Network":
      return { ResourceType, RequestType, Settings: readNetworkAdapter(fields()) };
    case "VPCIDevice":
      return { ResourceType, RequestType, Settings: readAssignedDevice(fields()) };
    case "PodCgroupMemoryLimit":
      return { ResourceType, RequestType, Settings: undefined };
    case "ContainerConstraints":
      return { ResourceType, RequestType, Settings: { Linux: readResources(fields()) } };
    case "ContainerFreezer":
      return { ResourceType, RequestType, Settings: { Frozen: fields().flag("Frozen") } };
    case "SecurityPolicy":
      return { ResourceType, RequestType, Settings: readPolicy(fields()) };
    case "SecurityPolicyFragment":
      return { ResourceType, RequestType, Settings: readFragment(fields()) };
    default:
      throw new GuestFault(
        "ERROR_NOT_SUPPORTED",
        `unsupported Request.ResourceType ${ResourceType}: expected one of ${linuxResourceTypes.join(", ")}`,
      );
  }
}

function readScsiAddress(fields: Fields): GuestScsiDevice {
  return {
    Controller: optionalInteger(fields, "Controller", scsiControllerGuids.length - 1),
    Lun: optionalInteger(fields, "Lun", lunsPerScsiController - 1),
  };
}

function readMappedVirtualDisk(fields: Fields): LinuxMappedVirtualDisk {
  if (fields.flag("Encrypted")) {
    throw new GuestFault(
      "ERROR_NOT_SUPPORTED",
      `${path}.Encrypted: this guest does not support encrypted disks (no device mapper)`,
    );
  }
  if (fields.has("VerityInfo")) {
    throw new GuestFault(
      "ERROR_NOT_SUPPORTED",
      `${path}.VerityInfo: this guest does not support dm-verity (no device mapper)`,
    );
  }
  const filesystem = fields.optionalText("Filesystem") ?? "";
  if (!/^[a-z0-9]{0,16}$/.test(filesystem)) throw fields.rejected("Filesystem", "the name of a file system");
  return {
    ...readScsiAddress(fields),
    MountPath: absolutePath(fields, "MountPath"),
    Partition: optionalInteger(fields, "Partition", 128),
    ReadOnly: fields.flag("ReadOnly"),
    Options: fields.list("Options", text),
    BlockDev: fields.flag("BlockDev"),
    EnsureFilesystem: fields.flag("EnsureFilesystem"),
    ...(filesystem === "" ? {} : { Filesystem: filesystem }),
  };
}

function readMappedDirectory(fields: Fields): LinuxMappedDirectory {
  const name = fields.text("ShareName");
  if (!isName(name)) throw fields.rejected("ShareName", "a name without a slash");
  return {
    MountPath: absolutePath(fields, "MountPath"),
    Port: optionalInteger(fields, "Port", 0xffffffff),
    ShareName: name,
    ReadOnly: fields.flag("ReadOnly"),
  };
}

function readCombinedLayers(fields: Fields): LinuxCombinedLayers {
  const scratch = fields.optionalText("ScratchPath") ?? "";
  return {
    ContainerID: fields.optionalText("ContainerID") ?? "",
    ContainerRootPath: absolutePath(fields, "ContainerRootPath"),
    Layers: fields.list("Layers", (item, itemPath) => ({ Path: absolutePath(new Fields(item, itemPath), "Path") })),
    ScratchPath: scratch === "" ? "" : absolutePath(fields, "ScratchPath"),
  };
}

function readAssignedDevice(fields: Fields): LinuxVpciDevice {
  const guid = fields.text("VMBusGUID");
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(guid)) throw fields.rejected("VMBusGUID", "a GUID");
  return { VMBusGUID: guid };
}

function readResources(fields: Fields): OciLinuxResources {
  try {
    return checkOciLinuxResources(spelledResources(fields.raw("Linux")), `${path}.Linux`);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new GuestFault("E_INVALIDARG", cause.message, { cause });
  }
}

function readPolicy(fields: Fields): SecurityPolicy {
  const optional = (name: string): string | undefined => (fields.has(name) ? encoded(fields, name) : undefined);
  const reference = optional("EncodedUVMReference");
  const envelope = optional("EncodedUVMHashEnvelopeReference");
  return {
    EnforcerType: fields.optionalText("EnforcerType") ?? "",
    EncodedSecurityPolicy: fields.text("EncodedSecurityPolicy") === "" ? "" : encoded(fields, "EncodedSecurityPolicy"),
    ...(reference !== undefined && { EncodedUVMReference: reference }),
    ...(envelope !== undefined && { EncodedUVMHashEnvelopeReference: envelope }),
  };
}

function encoded(fields: Fields, name: string): string {
  const value = fields.text(name);
  if (value !== "" && Buffer.from(value, "base64").toString("base64") === value) return value;
  // The value is not repeated: policies may be long and confidential.
  throw new GuestFault(
    "HCS_E_INVALID_JSON",
    `invalid ${path}.${name} of ${value.length} characters: expected a document in base64`,
  );
}

function readFragment(fields: Fields): SecurityPolicyFragment {
  const Fragment = encoded(fields, "Fragment");
  const MediaType = fields.optionalText("MediaType");
  return { Fragment, ...(MediaType !== undefined && { MediaType }) };
}

// The host's encoder omits zeros.
function optionalInteger(fields: Fields, name: string, maximum: number): number {
  return fields.has(name) ? fields.integer(name, 0, maximum) : 0;
}

/** A normalized path, so that paths can be compared as texts. */
export function absolutePath(fields: Fields, name: string): string {
  const value = fields.text(name);
  const parts = value.split("/").slice(1);
  const isNormal = parts.length > 0 && parts.every(isName);
  if (!value.startsWith("/") || !isNormal) throw fields.rejected(name, 'an absolute path without "." and ".."');
  return value;
}

function isName(part: string): boolean {
  return part !== "" && part !== "." && part !== ".." && !part.includes("/") && !part.includes("\0");
}

function text(item: unknown, itemPath: string): string {
  if (typeof item !== "string") throw new GuestFault("E_INVALIDARG", `${itemPath} must be a string`);
  return item;
}
