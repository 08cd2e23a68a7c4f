/** Readers of what a Windows guest is sent as JSON: unknown fields are refused, as the real one refuses them. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  type Check,
  checkGuid,
  checkWindowsMappedVirtualDisk,
  checkWindowsNetworkModification,
  checkWindowsNetworkNamespace,
  closedObject,
  filledText,
  type HcnNamespace,
  list,
  optional,
  SchemaError,
  truth,
  type WindowsMappedVirtualDisk,
  type WindowsNetworkModification,
} from "@uvm-shim/hcs-schema";

export interface MappedDirectory {
  readonly HostPath: string;
  readonly ContainerPath: string;
  readonly ReadOnly?: boolean;
}

export interface CombinedLayers {
  readonly ContainerRootPath: string;
  readonly Layers: readonly { readonly Id: string; readonly Path: string }[];
}

export interface HvSocketAddress {
  readonly LocalAddress: string;
  readonly ParentAddress: string;
}

/** What a host can ask of the guest itself, with what it must say for it. */
export type GuestChange =
  | { readonly type: "MappedVirtualDisk"; readonly verb: "Add" | "Remove"; readonly settings: WindowsMappedVirtualDisk }
  | { readonly type: "MappedDirectory"; readonly verb: "Add"; readonly settings: MappedDirectory }
  | { readonly type: "CombinedLayers"; readonly verb: "Add"; readonly settings: CombinedLayers }
  | {
      readonly type: "CombinedLayers";
      readonly verb: "Remove";
      readonly settings: { readonly ContainerRootPath: string };
    }
  | { readonly type: "NetworkNamespace"; readonly verb: "Add" | "Remove"; readonly settings: HcnNamespace }
  | { readonly type: "Network"; readonly verb: "Add" | "Remove"; readonly settings: WindowsNetworkModification }
  | { readonly type: "HvSocket"; readonly verb: "Update"; readonly settings: HvSocketAddress };

const layer: Check<CombinedLayers["Layers"][number]> = closedObject<CombinedLayers["Layers"][number]>({
  Id: checkGuid,
  Path: filledText,
});
// Without FilterType: guests before it refuse the field, and the others take its absence for what this one does.
const combinedLayers = closedObject<CombinedLayers>({ ContainerRootPath: filledText, Layers: list(layer) });
const containerRoot = closedObject<{ readonly ContainerRootPath: string }>({ ContainerRootPath: filledText });
const mappedDirectory = closedObject<MappedDirectory>({
  HostPath: filledText,
  ContainerPath: filledText,
  ReadOnly: optional(truth),
});
const hvSocketAddress = closedObject<HvSocketAddress>({ LocalAddress: checkGuid, ParentAddress: checkGuid });

/** The host's encoder leaves out the LUN 0. */
const mappedVirtualDisk: Check<WindowsMappedVirtualDisk> = (value, path) =>
  checkWindowsMappedVirtualDisk(
    typeof value === "object" && value !== null && !("Lun" in value) ? { ...value, Lun: 0 } : value,
    path,
  );

const path = "Request.Settings";

/** Throws a SchemaError for settings that the guest does not know, and a GuestFault for what it does not do. */
export function readGuestChange(type: string, verb: string, settings: unknown): GuestChange {
  switch (type) {
    case "MappedVirtualDisk":
      return { type, verb: one(type, verb, "Add", "Remove"), settings: mappedVirtualDisk(settings, path) };
    case "MappedDirectory":
      return { type, verb: one(type, verb, "Add"), settings: mappedDirectory(settings, path) };
    case "CombinedLayers":
      return one(type, verb, "Add", "Remove") === "Add"
        ? { type, verb: "Add", settings: combinedLayers(settings, path) }
        : { type, verb: "Remove", settings: containerRoot(settings, path) };
    case "NetworkNamespace":
      return { type, verb: one(type, verb, "Add", "Remove"), settings: checkWindowsNetworkNamespace(settings, path) };
    case "Network":
      return { type, verb: one(type, verb, "Add", "Remove"), settings: network(settings) };
    case "HvSocket":
      return { type, verb: one(type, verb, "Update"), settings: hvSocketAddress(settings, path) };
    default:
      throw new GuestFault("ERROR_NOT_SUPPORTED", `Request.ResourceType ${type}: a Windows guest has none such`);
  }
}

/** The endpoint comes with the announcement of an adapter, and only there. */
function network(settings: unknown): WindowsNetworkModification {
  const change = checkWindowsNetworkModification(settings, path);
  if ((change.Settings !== undefined) === (change.RequestType === "PreAdd")) return change;
  const expected = change.RequestType === "PreAdd" ? "the endpoint" : `nothing for ${change.RequestType}`;
  throw new SchemaError(`${path}.Settings`, `expected ${expected}`);
}

function one<const Verb extends string>(type: string, verb: string, ...known: Verb[]): Verb {
  const found = known.find((candidate) => candidate === verb);
  if (found !== undefined) return found;
  throw new GuestFault("ERROR_NOT_SUPPORTED", `${verb} ${type}: expected ${known.join(" or ")}`);
}
