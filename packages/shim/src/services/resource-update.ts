import { ShimError } from "../errors.ts";
import type { google } from "../generated/messages.js";
import type { AddedMount, Platform, ResourceUpdate } from "../platform.ts";
import { parseSpecification } from "../specification-json.ts";

/** OCI resources as JSON: `types.containerd.io/opencontainers/runtime-spec/1/…`. */
const ociResources = /(^|\/)opencontainers\/runtime-spec\/1\/(Linux|Windows)Resources$/;
/** Additions to a guest's security policy, with the type URL that hcsshim's clients use. */
const policyFragment = /(^|\/)ctrdtaskapi\/PolicyFragment$/;

/** A folder of the host for a running container, likewise. */
const containerMount = /(^|\/)ctrdtaskapi\/ContainerMount$/;

const expected =
  "LinuxResources or WindowsResources of the OCI runtime specification, PolicyFragment or ContainerMount";

/** A change of resources or policy, or a mount to be added. */
export interface TaskUpdate extends ResourceUpdate {
  readonly mount?: AddedMount;
}

/**
 * Decodes the resources of an Update request. Throws InvalidArgument for types that the system of the containers does not
 * have; the values of resources are not checked.
 */
export function readResourceUpdate(
  id: string,
  resources: google.protobuf.Any | null,
  annotations: { readonly [key: string]: string },
  os: Platform["os"] = "linux",
): TaskUpdate {
  if (resources === null) {
    throw new ShimError("InvalidArgument", `update task ${id}: resources are missing, expected ${expected}`);
  }
  const { type_url: type, value } = resources;
  const system = ociResources.exec(type)?.[2];
  if (system === "Linux" && os === "windows") {
    const message = `update task ${id}: resources are LinuxResources, expected WindowsResources for Windows containers`;
    throw new ShimError("InvalidArgument", message);
  }
  if (system !== undefined) return { resources: parsed(id, value), annotations };
  if (policyFragment.test(type)) return { policyFragment: fragmentOf(id, parsed(id, value)), annotations };
  if (containerMount.test(type)) return { mount: mountOf(id, parsed(id, value)), annotations };
  throw new ShimError(
    "InvalidArgument",
    `update task ${id}: unknown resources type ${JSON.stringify(type)}, expected ${expected}`,
  );
}

function parsed(id: string, value: Uint8Array): unknown {
  return parseSpecification(`update task ${id}: resources are`, value, expected);
}

function fragmentOf(id: string, value: unknown): { readonly fragment: string; readonly mediaType?: string } {
  const { fragment, mediaType } = (value ?? {}) as { fragment?: unknown; mediaType?: unknown };
  if (typeof fragment !== "string" || fragment === "") {
    throw new ShimError("InvalidArgument", `update task ${id}: fragment must be a base64 string`);
  }
  if (mediaType !== undefined && typeof mediaType !== "string") {
    throw new ShimError("InvalidArgument", `update task ${id}: mediaType must be a string`);
  }
  return { fragment, ...(mediaType !== undefined && { mediaType }) };
}

function mountOf(id: string, value: unknown): AddedMount {
  const { HostPath: hostPath, ContainerPath: containerPath, ...rest } = (value ?? {}) as { [field: string]: unknown };
  const { ReadOnly: readOnly = false, Type: type = "" } = rest;
  const refuse = (field: string, problem: string): ShimError =>
    new ShimError("InvalidArgument", `update task ${id}: ${field} ${problem}`);
  if (typeof hostPath !== "string" || hostPath === "") throw refuse("HostPath", "must be a path of the host");
  if (typeof containerPath !== "string" || containerPath === "") {
    throw refuse("ContainerPath", "must be a path in the container");
  }
  if (typeof readOnly !== "boolean") throw refuse("ReadOnly", "must be true or false");
  if (type !== "") throw refuse("Type", `is ${JSON.stringify(type)}, expected none: only folders can be added`);
  return { hostPath, containerPath, readOnly };
}
