import type { HcnEndpoint, HcnNamespace } from "@uvm-shim/hcs-schema";
import {
  Acquisitions,
  ControllerError,
  codeOf,
  Interruptions,
  isGone,
  Lifecycle,
  messageOf,
  OperationQueue,
  type Step,
  wrapError,
} from "@uvm-shim/lifecycle";
import { checkEndpoint, checkNamespaceId, endpointIdsOf, ordered } from "./endpoints.ts";
import { type NetworkOperation, type NetworkState, type NetworkStateKind, networkTable } from "./lifecycle.ts";
import type { GuestNetworking, NetworkQueries, NicHost } from "./types.ts";

/** What a `NetworkController` is made from. */
export interface NetworkControllerOptions {
  /** GUID of the pod's HCN namespace. */
  readonly namespaceId: string;
  readonly networks: NetworkQueries;
  readonly host: NicHost;
  readonly guest: GuestNetworking;
  /** A new GUID for a NIC. */
  readonly newId: () => string;
  /** Logs a warning about an endpoint that gets no NIC. */
  readonly warn?: (sentence: string) => void;
}

/** One NIC, for diagnostics. */
export interface NicView {
  readonly id: string;
  readonly endpointId: string;
  readonly name: string;
  /** Whether all of its steps have succeeded. */
  readonly isComplete: boolean;
}

interface TrackedNic {
  readonly id: string;
  readonly endpoint: HcnEndpoint;
  readonly held: Acquisitions;
  isComplete: boolean;
}

/**
 * The network of one pod in its VM: a NIC for each endpoint of the pod's namespace. Operations run one at a time;
 * teardown interrupts the others. Each step is recorded before it runs, so that teardown knows what may exist after any
 * failure. Errors are ControllerErrors.
 */
export class NetworkController {
  readonly #options: NetworkControllerOptions;
  readonly #life: Lifecycle<NetworkState, NetworkStateKind, NetworkOperation>;
  readonly #queue = new OperationQueue();
  readonly #interruptions: Interruptions;
  readonly #namespace = new Acquisitions();
  /** NICs by endpoint, in the order in which they were added. */
  readonly #nics = new Map<string, TrackedNic>();
  /** Endpoints that the guest cannot accept and that a warning was logged for. */
  readonly #leftOut = new Set<string>();

  constructor(options: NetworkControllerOptions) {
    this.#options = options;
    this.#interruptions = new Interruptions(options.namespaceId);
    this.#life = new Lifecycle(networkTable, options.namespaceId, { kind: "NotConfigured" });
  }

  get state(): NetworkState {
    return this.#life.state;
  }

  get nics(): readonly NicView[] {
    return [...this.#nics.values()].map(({ id, endpoint, isComplete }) => ({
      id,
      endpointId: endpoint.ID,
      name: endpoint.Name ?? "",
      isComplete,
    }));
  }

  /** Adds a NIC for each endpoint. Runs once; after a failure the state is Invalid, and only teardown is allowed. */
  setup(signal?: AbortSignal): Promise<void> {
    return this.#interruptibly("set up network", signal, async (until) => {
      this.#life.require("setup");
      try {
        checkNamespaceId(this.#options.namespaceId);
        const namespace = await this.#options.networks.queryNamespace(this.#options.namespaceId, until);
        const endpoints = await this.#endpointsOf(namespace, until);
        await take(this.#options.guest.namespaceSteps(namespace), this.#namespace, until);
        for (const endpoint of endpoints) {
          if (this.#canTake(endpoint)) await this.#add(endpoint, until);
        }
        this.#life.succeed("setup", { kind: "Configured" });
      } catch (error) {
        this.#life.fail("setup", { kind: "Invalid" });
        throw error;
      }
    });
  }

  /**
   * Adds and removes NICs to match the namespace's current endpoints. A namespace that is gone has none. One failure
   * does not stop the rest; a repeated call tries again.
   */
  sync(signal?: AbortSignal): Promise<void> {
    return this.#interruptibly("sync network", signal, async (until) => {
      this.#life.require("sync");
      const endpoints = await this.#present(until);
      const current = new Set(endpoints.map(keyOf));
      const failures: unknown[] = [];
      for (const nic of [...this.#nics.values()].toReversed()) {
        // A partly added NIC cannot be completed, since it is unknown which steps took effect.
        if (nic.isComplete && current.has(keyOf(nic.endpoint))) continue;
        await this.#remove(nic, until).catch((error: unknown) => failures.push(error));
      }
      for (const endpoint of endpoints) {
        if (!this.#nics.has(keyOf(endpoint)) && this.#canTake(endpoint)) {
          await this.#add(endpoint, until).catch((error: unknown) => failures.push(error));
        }
      }
      throwTogether(failures);
    });
  }

  /**
   * Removes every NIC, in reverse order, whatever its state. What is gone counts as removed. All removals are tried
   * even if some fail; their errors are reported together, and the call can be repeated until nothing is left.
   */
  teardown(signal?: AbortSignal): Promise<void> {
    this.#interruptions.interrupt(
      new ControllerError("Cancelled", "the network is being torn down", {
        operation: "set up network",
        id: this.#options.namespaceId,
      }),
    );
    return this.#queue.run(async () => {
      if (this.#life.state.kind === "TornDown") return;
      this.#life.require("teardown");
      const failures: unknown[] = [];
      for (const nic of [...this.#nics.values()].toReversed()) {
        await this.#remove(nic, signal).catch((error: unknown) => failures.push(error));
      }
      await this.#namespace.releaseAll(signal).catch((error: unknown) => failures.push(error));
      try {
        throwTogether(failures);
        this.#life.succeed("teardown", { kind: "TornDown" });
      } catch (error) {
        this.#life.fail("teardown", { kind: "Invalid" });
        throw wrapError(error, "tear down network", this.#options.namespaceId);
      }
    }, signal);
  }

  async #present(signal: AbortSignal): Promise<readonly HcnEndpoint[]> {
    let namespace: HcnNamespace;
    try {
      namespace = await this.#options.networks.queryNamespace(this.#options.namespaceId, signal);
    } catch (error) {
      if (isGone(error)) return [];
      throw error;
    }
    return await this.#endpointsOf(namespace, signal);
  }

  /** Checked endpoints, in the order in which the guest names their NICs. */
  async #endpointsOf(namespace: HcnNamespace, signal: AbortSignal): Promise<readonly HcnEndpoint[]> {
    const endpoints: HcnEndpoint[] = [];
    for (const id of endpointIdsOf(namespace)) {
      endpoints.push(await this.#options.networks.queryEndpoint(id, signal));
    }
    for (const endpoint of endpoints) checkEndpoint(endpoint);
    return ordered(endpoints);
  }

  #canTake(endpoint: HcnEndpoint): boolean {
    const why = this.#options.guest.whyNoMore?.(this.#nics.size);
    const key = keyOf(endpoint);
    if (why === undefined) return true;
    if (!this.#leftOut.has(key)) this.#options.warn?.(`endpoint ${nameOf(endpoint)} has no NIC in the VM: ${why}`);
    this.#leftOut.add(key);
    return false;
  }

  async #add(endpoint: HcnEndpoint, signal: AbortSignal): Promise<void> {
    const { host, guest, newId, namespaceId } = this.#options;
    const id = newId();
    const nic: TrackedNic = { id, endpoint, held: new Acquisitions(), isComplete: false };
    this.#nics.set(keyOf(endpoint), nic);
    const { ID: EndpointId, MacAddress = "" } = endpoint;
    const adapter = { EndpointId, MacAddress };
    const step: Step = {
      name: `NIC ${id} of the host`,
      acquire: (abort) => host.addNic(id, adapter, abort),
      release: (abort) => host.removeNic(id, adapter, abort),
    };
    try {
      await take(guest.nicSteps({ id, namespaceId, endpoint }, step), nic.held, signal);
      nic.isComplete = true;
    } catch (error) {
      throw wrapError(error, `add NIC ${id} for endpoint`, nameOf(endpoint));
    }
  }

  async #remove(nic: TrackedNic, signal?: AbortSignal): Promise<void> {
    nic.isComplete = false;
    try {
      await nic.held.releaseAll(signal);
      this.#nics.delete(keyOf(nic.endpoint));
    } catch (error) {
      throw wrapError(error, `remove NIC ${nic.id} of endpoint`, nameOf(nic.endpoint));
    }
  }

  #interruptibly(
    operation: string,
    signal: AbortSignal | undefined,
    work: (until: AbortSignal) => Promise<void>,
  ): Promise<void> {
    return this.#interruptions.run(operation, signal, (until) => this.#queue.run(() => work(until), until));
  }
}

/** Runs the steps in order, each recorded before it runs, until one fails. */
async function take(steps: readonly Step[], held: Acquisitions, signal: AbortSignal): Promise<void> {
  for (const step of steps) {
    signal.throwIfAborted();
    held.add(step);
    await step.acquire(signal);
  }
}

function throwTogether(failures: readonly unknown[]): void {
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first;
  const aggregate = new AggregateError(failures, failures.map(messageOf).join("; "));
  // Callers read the code; the first failure's is the most specific.
  throw Object.assign(aggregate, { code: codeOf(first) });
}

function keyOf({ ID }: HcnEndpoint): string {
  return ID.toLowerCase();
}

function nameOf({ ID, Name = "" }: HcnEndpoint): string {
  return Name === "" ? ID : `${ID} (${Name})`;
}
