import { abortable, acquireOrRelease, type Interruptions } from "@uvm-shim/lifecycle";
import { discardProcess } from "./discard-process.ts";
import type { VmOperation } from "./lifecycle.ts";
import { type Machine, type Refit, refitVm, updateVm } from "./resources.ts";
import { vmStatistics } from "./statistics.ts";
import type { GuestLogLine, VmCommand, VmFlavour, VmGuest, VmProcess, VmStatistics, VmUpdate } from "./types.ts";

/** What the requests to a running VM need of its controller. */
export interface RunningParts<Guest extends VmGuest> {
  readonly id: string;
  readonly flavour: VmFlavour<Guest>;
  readonly onGuestLog: (line: GuestLogLine) => void;
  readonly interruptions: Interruptions;
  /** Runs the work after all earlier operations. */
  readonly inTurn: <T>(work: () => Promise<T>, abort: AbortSignal) => Promise<T>;
  /** Throws unless the VM runs. */
  readonly require: (operation: VmOperation) => { readonly guest: Guest; readonly machine: Machine };
}

/**
 * What is asked of a VM while it runs. Only updates wait for their turn. The end of the VM interrupts all of it, and the
 * VM goes on running, whether it succeeds or fails.
 */
export class RunningVm<Guest extends VmGuest> {
  readonly #parts: RunningParts<Guest>;

  constructor(parts: RunningParts<Guest>) {
    this.#parts = parts;
  }

  update(update: VmUpdate, signal: AbortSignal | undefined): Promise<void> {
    const { id, flavour, inTurn } = this.#parts;
    const change = (guest: Guest, machine: Machine, abort: AbortSignal) =>
      updateVm(update, { id, flavour, guest, machine, signal: abort });
    return this.#parts.interruptions.run("update VM", signal, (abort) =>
      inTurn(() => this.#with("update", abort, change), abort),
    );
  }

  refit(refit: Refit, signal: AbortSignal | undefined): Promise<void> {
    const { id, flavour, inTurn } = this.#parts;
    const change = (guest: Guest, machine: Machine, abort: AbortSignal) =>
      refitVm(refit, { id, flavour, guest, machine, signal: abort });
    return this.#parts.interruptions.run("refit VM", signal, (abort) =>
      inTurn(() => this.#with("update", abort, change), abort),
    );
  }

  statistics(signal: AbortSignal | undefined): Promise<VmStatistics> {
    return this.#ask("measure VM", "statistics", signal, (_, { system, document }, abort) =>
      vmStatistics(system, document.VirtualMachine.ComputeTopology.Memory, abort),
    );
  }

  execute(command: VmCommand, signal: AbortSignal | undefined): Promise<VmProcess> {
    const { flavour, onGuestLog } = this.#parts;
    return this.#ask("execute in VM", "execute", signal, (guest, _, abort) =>
      acquireOrRelease(flavour.execute(guest, command, abort), abort, (late) => discardProcess(late, onGuestLog)),
    );
  }

  dumpStacks(signal: AbortSignal | undefined): Promise<string | undefined> {
    return this.#ask("dump stacks of VM", "dumpStacks", signal, async (guest, _, abort) =>
      guest.canDumpStacks ? await guest.dumpStacks(abort) : undefined,
    );
  }

  properties(signal: AbortSignal | undefined): Promise<object> {
    return this.#ask("ask for the properties of VM", "statistics", signal, (_, { system }, abort) =>
      system.properties(["Statistics", "Memory"], abort),
    );
  }

  #ask<T>(
    what: string,
    operation: VmOperation,
    signal: AbortSignal | undefined,
    work: (guest: Guest, machine: Machine, abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#parts.interruptions.run(what, signal, (abort) => this.#with(operation, abort, work));
  }

  async #with<T>(
    operation: VmOperation,
    abort: AbortSignal,
    work: (guest: Guest, machine: Machine, abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { guest, machine } = this.#parts.require(operation);
    return await abortable(work(guest, machine, abort), abort);
  }
}
