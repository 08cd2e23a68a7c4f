import type { VmStateKind } from "./lifecycle.ts";
import type { VmExit } from "./types.ts";

/** A VM at one moment, for diagnostics. */
export interface VmView {
  readonly id: string;
  readonly runtimeId?: string;
  readonly state: VmStateKind;
  readonly startedAt?: Date;
  readonly memoryInMb?: number;
  readonly isLost: boolean;
  readonly exit?: VmExit;
  /** Names of what it holds, in the order of acquisition. */
  readonly held: readonly string[];
}
