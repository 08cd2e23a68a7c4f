import { ShimError } from "../errors.ts";
import type { google } from "../generated/messages.js";
import type { ResourceUpdate } from "../platform.ts";
import { jsonFault } from "../redaction.ts";

/** OCI resources of either operating system, as JSON: `types.containerd.io/opencontainers/runtime-spec/1/…`. */
const ociResources = /(^|\/)opencontainers\/runtime-spec\/1\/(Linux|Windows)Resources$/;
/** Additions to a guest's security policy, as hcsshim's users send them. */
const policyFragment = /(^|\/)ctrdtaskapi\/PolicyFragment$/;

const accepted = "LinuxResources or WindowsResources of the OCI runtime specification, and PolicyFragment";

/** What an update of a task asks for. InvalidArgument for what is none; the resources themselves are not checked. */
export function readResourceUpdate(
  id: string,
  resources: google.protobuf.Any | null,
  annotations: { readonly [key: string]: string },
): ResourceUpdate {
  if (resources === null) {
    throw new ShimError("InvalidArgument", `update task ${id}: resources are missing; accepted are ${accepted}`);
  }
  const { type_url: type, value } = resources;
  if (ociResources.test(type)) return { resources: parsed(id, value), annotations };
  if (policyFragment.test(type)) return { policyFragment: fragmentOf(id, parsed(id, value)), annotations };
  throw new ShimError(
    "InvalidArgument",
    `update task ${id}: resources are of type ${JSON.stringify(type)}; accepted are ${accepted}`,
  );
}

function parsed(id: string, value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString("utf8"));
  } catch (error) {
    throw new ShimError(
      "InvalidArgument",
      `update task ${id}: resources are not JSON${jsonFault(error)}, as ${accepted} are`,
    );
  }
}

function fragmentOf(id: string, value: unknown): { readonly fragment: string; readonly mediaType?: string } {
  const { fragment, mediaType } = (value ?? {}) as { fragment?: unknown; mediaType?: unknown };
  if (typeof fragment !== "string" || fragment === "") {
    throw new ShimError("InvalidArgument", `update task ${id}: fragment must be a document in base64`);
  }
  if (mediaType !== undefined && typeof mediaType !== "string") {
    throw new ShimError("InvalidArgument", `update task ${id}: mediaType must be a string`);
  }
  return { fragment, ...(mediaType !== undefined && { mediaType }) };
}
