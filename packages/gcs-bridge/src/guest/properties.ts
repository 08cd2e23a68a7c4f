/** Queries of a container's properties. */
import { type CopyingCheck, FromGuest, type JsonBounds } from "@uvm-shim/hcs-schema";
import { GcsError } from "../error.ts";
import type { GuestRequests } from "./requests.ts";

/** One kind of property: its name, the most that a guest may answer, and how the answer is read. */
export interface PropertyQuery<T> {
  readonly type: string;
  readonly bounds: JsonBounds;
  readonly check: CopyingCheck<T>;
}

/** Rejects with Internal if the guest's document exceeds its bounds or is invalid. */
export async function queryProperties<T>(
  requests: GuestRequests,
  containerId: string,
  { type, bounds, check }: PropertyQuery<T>,
  abort: AbortSignal | undefined,
): Promise<T> {
  const Query = JSON.stringify({ PropertyTypes: [type] });
  const { Properties } = await requests.request("getProperties", containerId, { Query }, abort);
  try {
    return FromGuest.parse(Properties, bounds, "Properties").read(check);
  } catch (cause) {
    const message = `invalid answer from the guest: ${(cause as Error).message}`;
    throw new GcsError("Internal", message, { procedure: "getProperties", containerId, cause });
  }
}
