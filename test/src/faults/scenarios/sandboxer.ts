/** The pods of a sandboxer, how they are handed over to it, and the VMs that it keeps ready. */
import { duplexPair } from "node:stream";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { uvmshim } from "../../../../packages/shim/src/generated/messages.js";
import { controlServer } from "../../../../packages/shim/src/sandboxer/control-service.ts";
import type { HostedPod } from "../../../../packages/shim/src/sandboxer/hosted-pod.ts";
import { PodRegistry, type RegisteredPod } from "../../../../packages/shim/src/sandboxer/registry.ts";
import { VmPool } from "../../../../packages/shim/src/sandboxer/vm-pool.ts";
import { FakeBoots, FakeVmIds } from "../../../../packages/shim/src/testing/fake-ready-vms.ts";
import type { CaseContext, Play, Scenario } from "../scenario.ts";

const { Sandboxer } = uvmshim.sandboxer.v1;
const controller = "sandboxer";
const log = { log: () => {} };
const name = { namespace: "k8s.io", id: "p1" };
/** Longer than the pool waits for anything. */
const poolMs = 200_000;

/** Pods whose services, sockets and VMs are calls of the script. */
function podsOn({ script }: CaseContext) {
  const open = new Set<string>();
  const running = new Set<string>();
  const registry = new PodRegistry<RegisteredPod>(log);
  let made = 0;
  const make = (): RegisteredPod => {
    const id = `pod ${++made}`;
    const ended = Promise.withResolvers<string>();
    return {
      ended: ended.promise,
      async open() {
        try {
          await script.run("open", id, undefined, () => void open.add(id).has(id));
          running.add(`VM of ${id}`);
        } catch (error) {
          // As a pod's own steps do, which are put to the test where they are.
          open.delete(id);
          throw error;
        }
      },
      async terminate(reason) {
        try {
          await script.run("terminate", id, undefined, () => void running.delete(`VM of ${id}`));
        } finally {
          // A pod ends within a bound, whatever becomes of its VM.
          ended.resolve(reason);
        }
      },
      async close() {
        await script.run("close", id, undefined, () => {
          open.delete(id);
          // Its last handle is closed.
          running.delete(`VM of ${id}`);
        });
      },
    };
  };
  const leftovers = (): readonly string[] => [...open, ...running, ...(registry.size > 0 ? ["a registered pod"] : [])];
  return { registry, make, leftovers };
}

function poolOn({ script, clock }: CaseContext) {
  const boots = new FakeBoots();
  const ids = new FakeVmIds();
  const running = new Set<string>();
  let made = 0;
  ids.onCall = (call, id) => script.run(call, id, undefined, () => {});
  const pool = new VmPool({
    ...{ size: 1, memoryInMb: 4096, ids, clock, log, newId: () => `VM ${++made}` },
    plan: async () => {
      await script.run("plan", "", undefined, () => {});
      const { memoryInMb, boot } = await boots.plan();
      return {
        memoryInMb,
        boot: async (id, signal) => {
          await script.run("boot", id, signal, () => void running.add(id));
          const vm = await boot(id, signal);
          vm.ended.then(() => running.delete(id));
          return {
            id,
            ended: vm.ended,
            isCurrent: () => script.run("look at boot files", id, undefined, () => true),
            end: async () => {
              await script.run("end", id, undefined, () => {});
              await vm.end();
            },
          };
        },
      };
    },
    endLeft: (id) => script.run("end what is left", id, undefined, () => void running.delete(id)),
  });
  return { pool, boots, ids, leftovers: () => [...running] };
}

export const sandboxerScenarios: readonly Scenario[] = [
  {
    controller,
    name: "open a pod, give it up, open it again, drain",
    begin(context) {
      const { registry, make, leftovers } = podsOn(context);
      return {
        async act() {
          await context.callers.attempt(() => registry.open(name, make));
          await context.callers.attempt(() => registry.release(name, "test"));
          await context.callers.attempt(() => registry.open(name, make));
          const late = context.callers.attempt(() => registry.open({ ...name, id: "p2" }, make));
          await context.callers.attempt(() => registry.drain("test"));
          await late;
        },
        cleanUp: () => registry.drain("clean-up"),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "lose a pod with an earlier sandboxer, and forget it",
    begin({ script, callers }) {
      const { registry, make, leftovers } = podsOn({ script, callers } as CaseContext);
      const kept = new Set(["bundle of a lost pod"]);
      const forget = () => script.run("forget", name.id, undefined, () => kept.clear());
      registry.addLost(name, { createdAt: new Date(0), exit: { status: 137, exitedAt: new Date(0) }, forget });
      return {
        async act() {
          await callers.attempt(() => registry.release(name, "shutdown"));
          await callers.attempt(() => registry.open(name, make));
        },
        async cleanUp() {
          await registry.release(name, "clean-up");
          await registry.drain("clean-up");
        },
        leftovers: () => [...kept, ...leftovers()],
      };
    },
  },
  {
    controller,
    name: "hand a pod over, and delete it",
    begin(context): Play {
      const { registry, make, leftovers } = podsOn(context);
      const server = controlServer({
        ...{
          registry: registry as unknown as PodRegistry<HostedPod>,
          flavour: "lcow",
          host: "",
          guest: "",
          pid: 7,
          log,
        },
        makePod: () => make() as unknown as HostedPod,
        whileMaking: (work) => work(),
        makings: { begin: async () => {}, end: () => {} },
      });
      const ask = async (method: "Host" | "Release", signal?: AbortSignal): Promise<void> => {
        const [ours, theirs] = duplexPair();
        void server.serve(theirs);
        const client = new TtrpcClient(ours);
        const end = (): void => client.close();
        signal?.addEventListener("abort", end);
        const request = { ...name, flavour: "lcow", host: "", bundle: "/b", socket: "/s", debug: false };
        const addresses = { ttrpcAddress: "", grpcAddress: "" };
        try {
          if (method === "Host") await client.call(Sandboxer, "Host", { ...request, ...addresses });
          else await client.call(Sandboxer, "Release", name);
        } finally {
          client.close();
        }
      };
      return {
        async act() {
          await context.callers.attempt((signal) => ask("Host", signal));
          await context.callers.attempt((signal) => ask("Release", signal));
        },
        cleanUp: () => ask("Release"),
        leftovers,
      };
    },
  },
  {
    controller,
    name: "keep a VM ready, have it taken, keep another, and end it",
    begin(context) {
      const { pool, leftovers } = poolOn(context);
      const taken = new Set<{ end(): Promise<void> }>();
      return {
        async act() {
          await pool.begin().catch(() => {});
          await context.clock.delay(poolMs);
          await context.callers.attempt(async () => {
            const vm = await pool.forPod(log).take(() => undefined);
            if (vm !== undefined) taken.add(vm);
          });
          await context.clock.delay(poolMs);
        },
        async cleanUp() {
          await pool.close();
          for (const vm of taken) {
            await vm.end();
            taken.delete(vm);
          }
        },
        leftovers,
      };
    },
  },
  {
    controller,
    name: "replace a VM that dies while it waits, after a sandboxer that was killed",
    begin(context) {
      const { pool, boots, ids, leftovers } = poolOn(context);
      ids.ids = ["VM of an earlier one"];
      return {
        async act() {
          await pool.begin().catch(() => {});
          await context.clock.delay(poolMs);
          boots.vms.at(-1)?.die("crashed");
          await context.clock.delay(poolMs);
        },
        cleanUp: () => pool.close(),
        leftovers,
      };
    },
  },
];
