import type { PlannedVm, ReadyVm } from "../ready-vms.ts";
import type { VmIds } from "../sandboxer/vm-ids.ts";

/** A VM in memory that waits for a pod. */
export class FakeReadyVm implements ReadyVm {
  readonly id: string;
  readonly #ended = Promise.withResolvers<string>();
  readonly ended = this.#ended.promise;
  isRunning = true;
  /** How often it was ended by its owner. */
  ends = 0;
  onIsCurrent: () => Promise<boolean> = async () => true;
  onEnd: () => Promise<void> = async () => {};

  constructor(id: string) {
    this.id = id;
  }

  isCurrent(): Promise<boolean> {
    return this.onIsCurrent();
  }

  die(reason: string): void {
    this.isRunning = false;
    this.#ended.resolve(reason);
  }

  async end(): Promise<void> {
    this.ends++;
    await this.onEnd();
    this.die("terminated");
  }
}

/** A host in memory that boots such VMs. */
export class FakeBoots {
  readonly vms: FakeReadyVm[] = [];
  memoryInMb = 1024;
  onPlan: () => Promise<void> = async () => {};
  onBoot: (vm: FakeReadyVm, signal: AbortSignal) => Promise<void> = async () => {};

  readonly plan = async (): Promise<PlannedVm> => {
    await this.onPlan();
    return {
      memoryInMb: this.memoryInMb,
      boot: async (id, signal) => {
        const vm = new FakeReadyVm(id);
        await this.onBoot(vm, signal);
        this.vms.push(vm);
        return vm;
      },
    };
  };

  get running(): readonly FakeReadyVm[] {
    return this.vms.filter(({ isRunning }) => isRunning);
  }
}

/** The list of VMs in memory, which outlives pools. */
export class FakeVmIds implements VmIds {
  ids: readonly string[] = [];
  onCall: (call: string, id: string) => Promise<void> = async () => {};

  async read(): Promise<readonly string[]> {
    await this.onCall("read ids", "");
    return this.ids;
  }

  async add(id: string): Promise<void> {
    await this.onCall("add id", id);
    this.ids = [...this.ids, id];
  }

  async remove(id: string): Promise<void> {
    await this.onCall("remove id", id);
    this.ids = this.ids.filter((other) => other !== id);
  }
}
