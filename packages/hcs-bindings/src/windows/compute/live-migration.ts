import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import type { ComputeCore } from "./compute-core.ts";

/** Live migration of a running system. It is declared in microsoft/hcsshim; Microsoft's reference does not document it. */
export interface LiveMigration {
  initializeOnSource(options: HcsType<"MigrationInitializeOptions">, signal?: AbortSignal): Promise<void>;
  startOnSource(options: HcsType<"MigrationStartOptions">, signal?: AbortSignal): Promise<void>;
  startTransfer(options: HcsType<"MigrationTransferOptions">, signal?: AbortSignal): Promise<void>;
  finalize(options: HcsType<"MigrationFinalizedOptions">, signal?: AbortSignal): Promise<void>;
  cancel(options: HcsType<"MigrationCancelOptions">, signal?: AbortSignal): Promise<void>;
}

const calls = [
  "HcsInitializeLiveMigrationOnSource",
  "HcsStartLiveMigrationOnSource",
  "HcsStartLiveMigrationTransfer",
  "HcsFinalizeLiveMigration",
  "HcsCancelLiveMigration",
] as const;

/** The name of a function about live migration. */
export type MigrationCall = (typeof calls)[number];

/** Undefined if the DLL does not export all of the calls. */
export function liveMigrationOf(
  library: ComputeCore["library"],
  call: (name: MigrationCall, options: object, signal?: AbortSignal) => Promise<void>,
): LiveMigration | undefined {
  if (!calls.every((name) => library.has(name))) return undefined;
  return {
    initializeOnSource: (options, signal) => call("HcsInitializeLiveMigrationOnSource", options, signal),
    startOnSource: (options, signal) => call("HcsStartLiveMigrationOnSource", options, signal),
    startTransfer: (options, signal) => call("HcsStartLiveMigrationTransfer", options, signal),
    finalize: (options, signal) => call("HcsFinalizeLiveMigration", options, signal),
    cancel: (options, signal) => call("HcsCancelLiveMigration", options, signal),
  };
}
