/** VMs that are booted before there are pods for them. */
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { messageOf, ObservationScope, reportOccurrence } from "@uvm-shim/lifecycle";
import { type FilesThen, HostConnection, keepVmId, lookAtFiles, withHostFacts } from "@uvm-shim/platform-common";
import {
  bootFilesOf,
  buildLinuxSandbox,
  describeDifference,
  fitDocument,
  ordinaryGuestLayout,
} from "@uvm-shim/sandbox-lcow";
import type { PlannedVm, PlatformContext, ReadyVm } from "@uvm-shim/shim";
import { type LinuxVm, makeLinuxVm } from "./linux-vm.ts";

/** What a pod says of a VM that becomes its own. */
interface Owner {
  readonly guestLog: PlatformContext["guestLog"];
  readonly noWritableFileShares: boolean;
}

/** A VM with a connection of its own to the host, and nothing of a pod. */
export class ReadyLinuxVm implements ReadyVm {
  readonly id: string;
  readonly vm: LinuxVm;
  readonly document: ComputeSystemDocument;
  readonly #connection: HostConnection;
  readonly #files: FilesThen;
  readonly #scope: ObservationScope;
  #owner: Owner;
  #host: ComputeHost | undefined;

  private constructor(
    id: string,
    host: ComputeHost,
    parts: { document: ComputeSystemDocument; connection: HostConnection; files: FilesThen; scope: ObservationScope },
    context: PlatformContext,
  ) {
    this.id = id;
    this.document = parts.document;
    this.#connection = parts.connection;
    this.#files = parts.files;
    this.#scope = parts.scope;
    this.#host = host;
    this.#owner = { guestLog: context.guestLog, noWritableFileShares: false };
    this.vm = makeLinuxVm({
      ...{ id, host, layout: ordinaryGuestLayout },
      guestLog: { log: (...line) => this.#owner.guestLog.log(...line) },
      noWritableFileShares: () => this.#owner.noWritableFileShares,
    });
  }

  static async boot(
    id: string,
    document: ComputeSystemDocument,
    context: PlatformContext,
    signal: AbortSignal,
  ): Promise<ReadyLinuxVm> {
    // What the VM does is told to nobody until a pod has it, and then to that pod's observers alone.
    const scope = new ObservationScope();
    return await scope.run(async () => {
      const connection = new HostConnection(context);
      try {
        // Before the boot: a file that changes meanwhile is not what the VM has booted from.
        const files = await lookAtFiles(bootFilesOf(document));
        const ready = new ReadyLinuxVm(id, await connection.connect(), { document, connection, files, scope }, context);
        try {
          await ready.vm.create({ document }, signal);
          await ready.vm.start(signal);
        } catch (error) {
          await ready.vm.terminate();
          throw error;
        }
        return ready;
      } catch (error) {
        await connection.close();
        throw error;
      }
    });
  }

  get ended(): Promise<string> {
    return this.vm.wait().then(({ reason }) => reason);
  }

  isCurrent(): Promise<boolean> {
    return this.#files.areCurrent();
  }

  /** Its connection is the caller's from now on, and so is its log. */
  handOver(owner: Owner): ComputeHost {
    const host = this.#host;
    if (host === undefined) throw new Error(`VM ${this.id} has an owner already`);
    this.#host = undefined;
    this.#owner = owner;
    this.#scope.joinCaller();
    return host;
  }

  async end(): Promise<void> {
    await this.vm.terminate();
    await this.#connection.close();
  }
}

/** The VM of a pod without settings. */
export async function planVm(context: PlatformContext): Promise<PlannedVm> {
  const { executableDirectory, env } = context;
  const { document } = await withHostFacts(executableDirectory, env, (host) =>
    buildLinuxSandbox({ owner: "uvm-shim", bundle: executableDirectory, annotations: {}, host }),
  );
  return {
    memoryInMb: document.VirtualMachine.ComputeTopology.Memory.SizeInMB,
    boot: (id, signal) => ReadyLinuxVm.boot(id, document, context, signal),
  };
}

/** A VM that is a pod's from now on, by its controller and its connection. */
export interface TakenVm {
  readonly id: string;
  readonly vm: LinuxVm;
  readonly host: ComputeHost;
}

/** What a pod asks of a VM. */
export interface VmWanted {
  readonly document: ComputeSystemDocument;
  readonly noWritableFileShares: boolean;
  readonly bundle: string;
}

/** A VM that was ready, changed to what a pod asks for; undefined if the pod has to boot one of its own. */
export async function takeReadyVm(
  { document, noWritableFileShares, bundle }: VmWanted,
  { readyVms, log, guestLog }: PlatformContext,
  signal: AbortSignal | undefined,
): Promise<TakenVm | undefined> {
  const ready = await readyVms?.take((vm) => refusalOf(vm, document));
  if (!(ready instanceof ReadyLinuxVm)) return undefined;
  const { id, vm } = ready;
  try {
    signal?.throwIfAborted();
    const fit = fitDocument(ready.document, document);
    await keepVmId(bundle, id);
    const changes = fit.kind === "fits" ? fit.changes : [];
    await vm.refit({ document, changes }, signal);
    const host = ready.handOver({ guestLog, noWritableFileShares });
    reportOccurrence("ready VM taken", { vm: id });
    return { id, vm, host };
  } catch (error) {
    const fields = { vm: id, error: messageOf(error) };
    await ready.end().catch((failure: unknown) => {
      // The host ends it with this process at the latest.
      log.log("error", "cannot end a VM that was ready", { ...fields, error: messageOf(failure) });
    });
    signal?.throwIfAborted();
    log.log("warn", "a VM that was ready cannot become the pod's, which boots one of its own", fields);
    return undefined;
  }
}

function refusalOf(vm: ReadyVm, document: ComputeSystemDocument): string | undefined {
  if (!(vm instanceof ReadyLinuxVm)) return "those that are ready are of another kind";
  const fit = fitDocument(vm.document, document);
  return fit.kind === "fits" ? undefined : describeDifference(fit);
}
