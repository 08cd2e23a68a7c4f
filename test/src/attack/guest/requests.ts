/** What the host asks of the guest of the attack. */
import type { Procedure } from "@uvm-shim/gcs-bridge";

export interface GuestRequest {
  readonly procedure: Procedure | undefined;
  readonly type: number;
  readonly id: bigint;
  readonly containerId: string;
  readonly body: { readonly [field: string]: unknown };
}

export type Reaction = (request: GuestRequest) => void;

const victimSuffix = "victim";

export function isVictim(containerId: string): boolean {
  return containerId.endsWith(victimSuffix);
}
