import type { Duplex } from "node:stream";
import {
  checkLinuxProcessParameters,
  type HvSocketAddress,
  type LinuxProcessParameters,
  type SecurityPolicy,
  type SecurityPolicyFragment,
  type WindowsProcessParameters,
} from "@uvm-shim/hcs-schema";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { LinuxVmGuest } from "../flavour-linux.ts";
import type { WindowsVmGuest } from "../flavour-windows.ts";
import type { VmProcess } from "../types.ts";

/** A process of the guest itself; it lives until it is signalled. */
export class FakeProcess implements VmProcess {
  readonly pid: number;
  isOpen = true;
  readonly #exit = Promise.withResolvers<number>();

  constructor(pid: number) {
    this.pid = pid;
  }

  wait(): Promise<number> {
    return this.#exit.promise;
  }

  async signal(signal: number): Promise<void> {
    this.#exit.resolve(128 + signal);
  }

  async resize(): Promise<void> {}

  async close(): Promise<void> {
    this.isOpen = false;
  }
}

/** A guest of either kind; which calls it gets shows which flavour uses it. */
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
        this.executed.push("CommandLine" in parameters ? parameters : checkLinuxProcessParameters(parameters));
        made = new FakeProcess(100 + this.processes.length);
        this.processes.push(made);
        return made;
      });
    } catch (error) {
      // A guest ends by itself what it has started for nobody.
      await made?.signal(9);
      await made?.close();
      throw error;
    }
  }

  lose(cause: Error | undefined): void {
    this.isOpen = false;
    this.#closed.resolve(cause);
    this.stream.destroy();
  }
}
