import type { Duplex } from "node:stream";
import {
  checkLinuxProcessParameters,
  type HvSocketAddress,
  type LinuxProcessParameters,
  type SecurityPolicy,
  type SecurityPolicyFragment,
  type WindowsProcessParameters,
} from "@uvm-shim/hcs-schema";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { LinuxVmGuest } from "../lcow.ts";
import type { VmProcess } from "../types.ts";
import type { WindowsVmGuest } from "../wcow.ts";

/** The exit code that Linux guests report for a process that ended by writing to closed stdio. */
const lostStatus = 255;

/** A process of the guest itself; it runs until its stdio is closed or, in a Windows guest, until it is signalled. */
export class FakeProcess implements VmProcess {
  readonly pid: number;
  isOpen = true;
  /** Whether it goes on when its stdio is closed. */
  needsNoStdio = false;
  readonly #canSignal: boolean;
  readonly #exit = Promise.withResolvers<number>();

  constructor(pid: number, canSignal: boolean) {
    this.pid = pid;
    this.#canSignal = canSignal;
  }

  wait(): Promise<number> {
    return this.#exit.promise;
  }

  async exists(): Promise<boolean> {
    return this.isOpen;
  }

  async signal(signal: number): Promise<void> {
    this.#requireSignals();
    this.#exit.resolve(128 + signal);
  }

  async resize(): Promise<void> {
    this.#requireSignals();
  }

  end(status: number): void {
    this.#exit.resolve(status);
  }

  async close(): Promise<void> {
    this.isOpen = false;
    if (!this.needsNoStdio) this.#exit.resolve(lostStatus);
  }

  #requireSignals(): void {
    if (!this.#canSignal) throw scriptedError("Unimplemented", `process ${this.pid} is one of the VM itself`);
  }
}

/** A guest of either flavour; its calls show which flavour uses it. */
export class FakeGuest implements Omit<LinuxVmGuest, "execute">, Omit<WindowsVmGuest, "execute"> {
  readonly stream: Duplex;
  readonly processes: FakeProcess[] = [];
  readonly executed: (LinuxProcessParameters | WindowsProcessParameters)[] = [];
  readonly policies: SecurityPolicy[] = [];
  readonly fragments: SecurityPolicyFragment[] = [];
  readonly addresses: HvSocketAddress[] = [];
  readonly #script: ScriptedCalls;
  readonly #closed = Promise.withResolvers<Error | undefined>();
  isOpen = true;
  canDumpStacks = true;
  /** Whether it has the program that sends signals. */
  canRunSenders = true;

  constructor(script: ScriptedCalls, stream: Duplex) {
    this.#script = script;
    this.stream = stream;
  }

  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  close(): Promise<void> {
    return this.#script.run("closeBridge", "", undefined, () => this.lose(undefined));
  }

  updateMemoryLimits(signal?: AbortSignal): Promise<void> {
    return this.#script.run("updateMemoryLimits", "", signal, () => {});
  }

  updateHvSocketAddress(address: HvSocketAddress, signal?: AbortSignal): Promise<void> {
    return this.#script.run("updateHvSocketAddress", "", signal, () => void this.addresses.push(address));
  }

  setSecurityPolicy(policy: SecurityPolicy, signal?: AbortSignal): Promise<void> {
    return this.#script.run("setSecurityPolicy", "", signal, () => void this.policies.push(policy));
  }

  injectPolicyFragment(fragment: SecurityPolicyFragment, signal?: AbortSignal): Promise<void> {
    return this.#script.run("injectPolicyFragment", "", signal, () => void this.fragments.push(fragment));
  }

  dumpStacks(signal?: AbortSignal): Promise<string> {
    return this.#script.run("dumpStacks", "", signal, () => "main: waits");
  }

  async execute(
    parameters: LinuxProcessParameters | WindowsProcessParameters,
    signal?: AbortSignal,
  ): Promise<FakeProcess> {
    let made: FakeProcess | undefined;
    try {
      return await this.#script.run("execute", "", signal, () => {
        const isWindows = "CommandLine" in parameters;
        this.executed.push(isWindows ? parameters : checkLinuxProcessParameters(parameters));
        made = new FakeProcess(100 + this.processes.length, isWindows);
        this.processes.push(made);
        if (!isWindows) this.#signalBy(parameters, made);
        return made;
      });
    } catch (error) {
      // The guest's client itself ends a process that no caller waits for.
      await made?.close();
      throw error;
    }
  }

  /** Lets a program that sends a signal have its effect. */
  #signalBy({ CommandArgs = [] }: LinuxProcessParameters, sender: FakeProcess): void {
    const [, signal, pid] = /^kill -(\d+) (\d+)$/.exec(CommandArgs.at(-1) ?? "") ?? [];
    if (pid === undefined) return;
    const target = this.processes.find((process) => process.pid === Number(pid));
    if (this.canRunSenders) target?.end(128 + Number(signal));
    sender.end(this.canRunSenders ? 0 : 127);
  }

  lose(cause: Error | undefined): void {
    this.isOpen = false;
    this.#closed.resolve(cause);
    this.stream.destroy();
  }
}
