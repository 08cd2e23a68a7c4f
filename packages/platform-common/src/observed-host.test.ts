import type { ComputeHost, ComputeSystem } from "@uvm-shim/hcs-bindings";
import { addObserver } from "@uvm-shim/lifecycle";
import { afterEach, beforeEach, expect, it } from "vitest";
import { observedHost } from "./observed-host.ts";

let told: string[];
let remove: () => void;
beforeEach(() => {
  told = [];
  remove = addObserver({
    began: ({ kind, name, attributes }) => void told.push(`${kind} ${name} ${JSON.stringify(attributes)}`),
    ended: ({ name }, error) => void (error !== undefined && told.push(`${name} failed: ${(error as Error).message}`)),
    occurred: ({ name, attributes }) => void told.push(`${name} ${JSON.stringify(attributes)}`),
  });
});
afterEach(() => remove());

/** A class, since private fields are what a careless wrapper loses. */
class System {
  readonly #lost = Promise.withResolvers<never>();
  #report = "none";

  constructor() {
    this.#lost.promise.catch(() => {});
  }

  get exited() {
    return this.#lost.promise;
  }

  get crashReport() {
    return this.#report;
  }

  async modify(): Promise<void> {
    this.#report = "crashed";
    throw new Error("refused");
  }

  async listen(): Promise<void> {}

  async close(): Promise<void> {
    this.#lost.reject(new Error("closed"));
  }

  lose(): void {
    this.#lost.reject(new Error("gone"));
  }
}

function hostOf(system: System): ComputeHost {
  const networks = { queryNetwork: async () => ({}) };
  const createComputeSystem = async () => system as unknown as ComputeSystem;
  return { networks, windows: {}, createComputeSystem, close: async () => {} } as unknown as ComputeHost;
}

it("tells of each call to the host with what it is about, and of its failure", async () => {
  const host = observedHost(hostOf(new System()));
  const system = await host.createComputeSystem("vm", {} as never);
  await host.networks.queryNetwork("net");
  const request = { RequestType: "Add", ResourcePath: "VirtualMachine/x", Settings: { secret: "s" } } as never;
  await expect(system.modify(request)).rejects.toThrow("refused");
  await system.listen(7);
  expect(system.crashReport).toBe("crashed");
  expect(told).toEqual([
    'host-call createComputeSystem {"id":"vm"}',
    'host-call queryNetwork {"id":"net"}',
    'host-call modify {"request":"Add","resource":"VirtualMachine/x"}',
    "modify failed: refused",
  ]);
});

it("has no call that the host has not, and the same function for each it has", () => {
  const host = observedHost(hostOf(new System()));
  expect(host.ping).toBeUndefined();
  expect(host.createComputeSystem).toBe(host.createComputeSystem);
});

it("tells of a host that is lost, but not of a system or a host that is closed", async () => {
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const lost = new System();
  await observedHost(hostOf(lost)).createComputeSystem("vm", {} as never);
  lost.lose();
  await turn();
  expect(told.at(-1)).toBe('host service lost {"error":"gone"}');
  const closed = new System();
  await (await observedHost(hostOf(closed)).createComputeSystem("vm", {} as never)).close();
  const ofClosedHost = new System();
  const host = observedHost(hostOf(ofClosedHost));
  await host.createComputeSystem("vm", {} as never);
  await host.close();
  ofClosedHost.lose();
  await turn();
  expect(told.filter((line) => line.startsWith("host service lost"))).toHaveLength(1);
});
