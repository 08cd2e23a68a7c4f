import { ShimError } from "../errors.ts";
import type { google } from "../generated/messages.js";
import type { ResourceUpdate } from "../platform.ts";
import { jsonErrorPosition } from "../redaction.ts";

/** OCI resources as JSON: `types.containerd.io/opencontainers/runtime-spec/1/…`. */
const ociResources = /(^|\/)opencontainers\/runtime-spec\/1\/(Linux|Windows)Resources$/;
/** Additions to a guest's security policy, with the type URL that hcsshim's clients use. */
const policyFragment = /(^|\/)ctrdtaskapi\/PolicyFragment$/;

const expected = "LinuxResources or WindowsResources of the OCI runtime specification, or PolicyFragment";

/** Decodes the resources of an Update request. Throws InvalidArgument for unknown types; the values are not checked. */
export function readResourceUpdate(
  id: string,
  resources: google.protobuf.Any | null,
  annotations: { readonly [key: string]: string },
): ResourceUpdate {
  if (resources === null) {
    throw new ShimError("InvalidArgument", `update task ${id}: resources are missing, expected ${expected}`);
  }
  const { type_url: type, value } = resources;
  if (ociResources.test(type)) return { resources: parsed(id, value), annotations };
  if (policyFragment.test(type)) return { policyFragment: fragmentOf(id, parsed(id, value)), annotations };
  throw new ShimError(
    "InvalidArgument",
    `update task ${id}: unknown resources type ${JSON.stringify(type)}, expected ${expected}`,
  );
}

function parsed(id: string, value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString("utf8"));
  } catch (error) {
    throw new ShimError(
      "InvalidArgument",
      `update task ${id}: resources are not JSON${jsonErrorPosition(error)}, expected ${expected}`,
    );
  }
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
