import { duplexPair } from "node:stream";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { afterEach, expect, it } from "vitest";
import { uvmshim } from "../generated/messages.js";
import { controlServer, type HandedPod } from "./control-service.ts";
import type { HostedPod } from "./hosted-pod.ts";
import { PodRegistry } from "./registry.ts";

const { Sandboxer } = uvmshim.sandboxer.v1;
const request = {
  namespace: "k8s.io",
  id: "c1",
  bundle: "/b",
  socket: "/s",
  flavour: "lcow",
  host: "emulator:",
  guest: "process",
};

const made: HandedPod[] = [];
const ended: string[] = [];
const clients: TtrpcClient[] = [];
afterEach(() => {
  made.length = 0;
  ended.length = 0;
  for (const client of clients.splice(0)) client.close();
});

/** A client of the service of a sandboxer for Linux containers, on that host. */
function connect(host = "emulator:"): TtrpcClient {
  const log = { log: () => {} };
  const server = controlServer({
    ...{ registry: new PodRegistry<HostedPod>(log), flavour: "lcow", host, guest: "process", pid: 77, log },
    whileMaking: (work) => work(),
    makings: { begin: async () => {}, end: ({ id }) => void ended.push(id) },
    makePod: (pod) => {
      if (pod.bundle === "/unusable") throw new Error("no bundle");
      made.push(pod);
      const ended = new Promise<string>(() => {});
      const nothing = async (): Promise<void> => {};
      return { ended, open: nothing, close: nothing, terminate: nothing } as unknown as HostedPod;
    },
  });
  const [ours, theirs] = duplexPair();
  void server.serve(theirs);
  const client = new TtrpcClient(ours);
  clients.push(client);
  return client;
}

it("takes a pod of its own flavour and host, and says which process serves it", async () => {
  const runtimeOptions = { type_url: "options", value: Uint8Array.of(7) };
  expect(await connect().call(Sandboxer, "Host", { ...request, runtimeOptions })).toMatchObject({ pid: 77 });
  expect(made).toMatchObject([
    { name: { namespace: "k8s.io", id: "c1" }, bundle: "/b", runtimeOptions: { typeUrl: "options" } },
  ]);
});

it("takes a pod whose guest is the usual one, said or not", async () => {
  expect(await connect().call(Sandboxer, "Host", { ...request, guest: "" })).toMatchObject({ pid: 77 });
});

it("leaves the turn to another pod when one cannot be taken", async () => {
  const client = connect();
  await client.call(Sandboxer, "Host", request);
  expect(ended).toEqual([]);
  await expect(client.call(Sandboxer, "Host", { ...request, id: "c2", bundle: "/unusable" })).rejects.toThrow(
    "no bundle",
  );
  expect(ended).toEqual(["c2"]);
});

it.each([
  [{ flavour: "wcow" }, "InvalidArgument", "host pod c1: it is of flavour wcow, and this sandboxer serves lcow"],
  [
    { host: "emulator:/elsewhere" },
    "FailedPrecondition",
    'host pod c1: UVM_SHIM_HOST is "emulator:/elsewhere", and "emulator:" for this sandboxer: expected the same',
  ],
  [{ host: "" }, "FailedPrecondition", 'UVM_SHIM_HOST is "", and "emulator:"'],
  [{ guest: "qemu" }, "FailedPrecondition", 'UVM_SHIM_GUEST is "qemu", and "process" for this sandboxer'],
  [{ id: "../c1" }, "InvalidArgument", "host pod: id"],
  [{ namespace: "" }, "InvalidArgument", "host pod: namespace"],
] as const)("refuses %j, and makes nothing", async (change, code, message) => {
  await expect(connect().call(Sandboxer, "Host", { ...request, ...change })).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
  expect(made).toEqual([]);
});

it("gives up a pod, and one that it does not have", async () => {
  const client = connect();
  await client.call(Sandboxer, "Host", request);
  const { namespace, id } = request;
  for (const _ of ["once", "again"]) expect(await client.call(Sandboxer, "Release", { namespace, id })).toEqual({});
  await expect(client.call(Sandboxer, "Release", { namespace, id: "" })).rejects.toMatchObject({
    code: "InvalidArgument",
  });
});
