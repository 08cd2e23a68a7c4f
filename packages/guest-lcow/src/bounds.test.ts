import { duplexPair } from "node:stream";
import { GuestFault, type GuestHandlers, procedures, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it } from "vitest";
import { boundOf, procedureBounds } from "./bounds.ts";
import type { LinuxContainer } from "./container.ts";
import { LinuxGuest } from "./guest.ts";
import type { LinuxProcess } from "./process.ts";
import { containerSettings, FakeGuest, settled, withoutPipes } from "./testing/fake-guest.ts";

/** Parameters of an exec: the init of a container would start its out-of-memory watch. */
const added = { ...withoutPipes, OCIProcess: { args: ["more"], cwd: "/" } };
const disk = { MountPath: "/run/mounts/scsi/1/7/0", Controller: 1, Lun: 7, Partition: 0, ReadOnly: true };
const device = { VMBusGUID: "6f9619ff-8b86-d011-b42d-00c04fc964ff" };
const directory = { MountPath: "/run/mounts/p9/1", Port: 564, ShareName: "1", ReadOnly: false };
const layers = { ContainerID: "c", ContainerRootPath: "/run/root", Layers: [{ Path: "/a" }], ScratchPath: "/s" };
const adapter = { NamespaceID: "12345678-1234-1234-1234-123456789abc", ID: "12345678-1234-1234-1234-123456789abd" };
const pausing = {
  GuestDefinedCapabilities: { ...capabilities.GuestDefinedCapabilities, PauseContainerSupported: true },
};
const never = () => new Promise<never>(() => {});

interface Made {
  readonly guest: LinuxGuest;
  readonly container: LinuxContainer;
  readonly process: LinuxProcess;
}

/** A guest with a container and a process in it, which then behaves as the handlers say. */
async function made(handlers: GuestHandlers): Promise<Made & { readonly fake: FakeGuest }> {
  let isReady = false;
  const fake = new FakeGuest(
    Object.fromEntries(
      Object.entries(handlers).map(([name, handler]) => [
        name,
        (...call: never[]) => {
          if (isReady) return (handler as (...call: never[]) => unknown)(...call);
          return name === "executeProcess" ? { ProcessId: 100 } : {};
        },
      ]),
    ),
    pausing,
  );
  const guest = await fake.connect();
  const container = await guest.createContainer("c", containerSettings);
  const process = await container.execute(added);
  isReady = true;
  return { fake, guest, container, process };
}

const modify = `modifySettings ${uvmContainerId}`;

describe("a request that the guest never answers", () => {
  it.each<[string, (of: Made) => Promise<unknown>, keyof GuestHandlers, string, number]>([
    [
      "a disk",
      ({ guest }) => guest.mountDisk(disk),
      "modifySettings",
      `${modify}: Add MappedVirtualDisk of controller 1 LUN 7 partition 0 at /run/mounts/scsi/1/7/0`,
      60_000,
    ],
    [
      "a disk with a new file system",
      ({ guest }) => guest.mountDisk({ ...disk, EnsureFilesystem: true }),
      "modifySettings",
      `${modify}: Add MappedVirtualDisk of controller 1 LUN 7 `,
      100_000,
    ],
    [
      "a disk that is encrypted",
      ({ guest }) => guest.mountDisk({ ...disk, EnsureFilesystem: true, Encrypted: true }),
      "modifySettings",
      `${modify}: Add MappedVirtualDisk of controller 1 LUN 7 `,
      300_000,
    ],
    [
      "the end of a mount",
      ({ guest }) => guest.unmountDisk({ ...disk, EnsureFilesystem: true, Encrypted: true }),
      "modifySettings",
      `${modify}: Remove MappedVirtualDisk of controller 1 LUN 7 `,
      60_000,
    ],
    [
      "an ejected disk",
      ({ guest }) => guest.ejectDisk({ Controller: 1, Lun: 7 }),
      "modifySettings",
      `${modify}: Remove SCSIDevice of controller 1 LUN 7`,
      30_000,
    ],
    [
      "a share",
      ({ guest }) => guest.mountShare(directory),
      "modifySettings",
      `${modify}: Add MappedDirectory of share 1 at /run/mounts/p9/1`,
      60_000,
    ],
    [
      "a device",
      ({ guest }) => guest.waitForDevice(device),
      "modifySettings",
      `${modify}: Add VPCIDevice of device ${device.VMBusGUID}`,
      60_000,
    ],
    [
      "combined layers",
      ({ guest }) => guest.addCombinedLayers(layers),
      "modifySettings",
      `${modify}: Add CombinedLayers of container c at /run/root`,
      60_000,
    ],
    [
      "a NIC",
      ({ guest }) => guest.addNetworkInterface(adapter),
      "modifySettings",
      `${modify}: Add Network of NIC ${adapter.ID} in namespace ${adapter.NamespaceID}`,
      60_000,
    ],
    ["memory", ({ guest }) => guest.updateMemoryLimits(), "modifySettings", ": Update PodCgroupMemoryLimit: ", 30_000],
    [
      "a policy",
      ({ guest }) => guest.setSecurityPolicy({ EnforcerType: "rego", EncodedSecurityPolicy: "e30=" }),
      "modifySettings",
      ": Add SecurityPolicy: ",
      60_000,
    ],
    [
      "a fragment",
      ({ guest }) => guest.injectPolicyFragment({ Fragment: "AAAA" }),
      "modifySettings",
      ": Add SecurityPolicyFragment: ",
      60_000,
    ],
    ["a sign of life", ({ guest }) => guest.ping(), "getProperties", `getProperties ${uvmContainerId}: `, 30_000],
    ["stacks", ({ guest }) => guest.dumpStacks(), "dumpStacks", `dumpStacks ${uvmContainerId}: `, 60_000],
    ["a container", ({ guest }) => guest.createContainer("d", containerSettings), "create", "create d: ", 100_000],
    ["a start", ({ container }) => container.start(), "start", "start c: ", 60_000],
    ["a process", ({ container }) => container.execute(withoutPipes), "executeProcess", "executeProcess c: ", 100_000],
    ["limits", ({ container }) => container.update({}), "modifySettings", "c: Update ContainerConstraints: ", 30_000],
    ["a pause", ({ container }) => container.pause(), "modifySettings", "c: Update ContainerFreezer: ", 30_000],
    ["a list", ({ container }) => container.processIds(), "getProperties", "getProperties c: ", 30_000],
    ["an end", ({ container }) => container.terminate(), "shutdownForced", "shutdownForced c: ", 60_000],
    ["a deletion", ({ container }) => container.deleteState(), "deleteContainerState", "ContainerState c: ", 60_000],
    ["a signal", ({ process }) => process.signal(15), "signalProcess", "signalProcess c: process 100: ", 30_000],
    ["a size", ({ process }) => process.resize(24, 80), "resizeConsole", "resizeConsole c: process 100: ", 30_000],
  ])("for %s fails at its bound, naming both", async (_what, act, procedure, subject, bound) => {
    const { fake, ...all } = await made({ [procedure]: never });
    const failure = act(all).catch((error: unknown) => error);
    await settled();
    expect(fake.delays).toEqual([bound]);
    fake.expire();
    expect(await failure).toMatchObject({ code: "DeadlineExceeded", procedure, gone: false });
    const { message } = (await failure) as Error;
    expect(message).toContain(subject);
    expect(message.endsWith(`the guest did not answer within ${bound} ms`)).toBe(true);
    expect(fake.delays).toEqual([]);
    await all.guest.close();
  });

  it("ends the connection if it is the negotiation", async () => {
    const fake = new FakeGuest();
    // A stream whose other end is not read.
    const [mute] = duplexPair();
    const connecting = LinuxGuest.connect(mute, fake.options).catch((error: unknown) => error);
    await settled();
    expect(fake.delays).toEqual([60_000]);
    fake.expire();
    expect(await connecting).toMatchObject({ code: "DeadlineExceeded", procedure: "negotiateProtocol" });
    expect(String(await connecting)).toContain("negotiateProtocol: the guest did not answer within 60000 ms");
    expect(mute.destroyed).toBe(true);
    expect(fake.delays).toEqual([]);
  });

  it("is bounded for every procedure but the wait for an exit", () => {
    const bounded = { ...procedureBounds, modifySettings: 0 };
    expect(Object.keys(bounded).toSorted()).toEqual(Object.keys(procedures).toSorted());
    expect(Object.entries(procedureBounds).filter(([, bound]) => bound === undefined)).toEqual([
      ["waitForProcess", undefined],
    ]);
    expect(boundOf("waitForProcess", { ProcessId: 1, TimeoutInMs: 0 })).toBeUndefined();
  });
});

describe("a request that is answered", () => {
  it("leaves no timer behind", async () => {
    const { fake, guest, container, process } = await made({});
    await guest.mountDisk(disk);
    await container.start();
    await process.signal(15);
    await expect(guest.dumpStacks()).resolves.toBe("");
    expect(fake.delays).toEqual([]);
    await guest.close();
  });

  it("may be answered at any time if it waits for an exit", async () => {
    const exit = Promise.withResolvers<{ readonly ExitCode: number }>();
    const fake = new FakeGuest({ waitForProcess: () => exit.promise });
    const guest = await fake.connect();
    const process = await (await guest.createContainer("c", containerSettings)).execute(added);
    await settled();
    expect(fake.delays).toEqual([]);
    exit.resolve({ ExitCode: 3 });
    expect(await process.wait()).toBe(3);
    await guest.close();
  });

  it("is not abandoned at the moment of its answer", async () => {
    const answer = Promise.withResolvers<object>();
    const { fake, guest } = await made({ modifySettings: async () => (await answer.promise) as never });
    const mounting = guest.mountDisk(disk);
    await settled();
    answer.resolve({});
    await mounting;
    fake.expire();
    await settled();
    expect(fake.logged).toEqual([]);
    await guest.close();
  });
});

describe("what the guest does after the bound", () => {
  /** Answers to modify requests in the order of the requests; the test decides when. */
  async function answering() {
    const answers: PromiseWithResolvers<Record<never, never>>[] = [];
    const next = () => {
      const answer = Promise.withResolvers<Record<never, never>>();
      answers.push(answer);
      return answer.promise;
    };
    const { fake, guest } = await made({ modifySettings: next });
    const asked = () => fake.bodies("modifySettings").map(({ Request }) => Request.RequestType);
    const answer = async (index: number): Promise<void> => {
      answers[index]?.resolve({});
      await settled();
    };
    const giveUp = async (work: Promise<unknown>): Promise<void> => {
      const outcome = expect(work).rejects.toMatchObject({ code: "DeadlineExceeded" });
      await settled();
      fake.expire();
      await outcome;
    };
    return { fake, guest, asked, answer, giveUp, answers };
  }

  it("is logged if its owner has requested nothing since, and may find it mounted", async () => {
    const { fake, guest, asked, answer, giveUp } = await answering();
    await giveUp(guest.mountDisk(disk));
    await answer(0);
    expect(asked()).toEqual(["Add"]);
    expect(fake.logged).toEqual(["the guest has performed an abandoned addition"]);
    expect(fake.loggedFields).toEqual([
      {
        procedure: "modifySettings",
        containerId: uvmContainerId,
        subject: "Add MappedVirtualDisk of controller 1 LUN 7 partition 0 at /run/mounts/scsi/1/7/0",
      },
    ]);
    const unmounting = guest.unmountDisk(disk);
    await settled();
    await answer(1);
    await unmounting;
    expect(asked()).toEqual(["Add", "Remove"]);
    await guest.close();
  });

  type Act = (guest: LinuxGuest, signal?: AbortSignal) => Promise<void>;

  it.each<[string, Act, Act]>([
    ["a disk", (guest, signal) => guest.mountDisk(disk, signal), (guest) => guest.unmountDisk(disk)],
    ["a share", (guest, signal) => guest.mountShare(directory, signal), (guest) => guest.unmountShare(directory)],
    [
      "layers",
      (guest, signal) => guest.addCombinedLayers(layers, signal),
      (guest) => guest.removeCombinedLayers(layers),
    ],
    [
      "a NIC",
      (guest, signal) => guest.addNetworkInterface(adapter, signal),
      (guest) => guest.removeNetworkInterface(adapter),
    ],
  ])("is undone where %s was removed before the guest had added it", async (_what, add, remove) => {
    const { fake, guest, asked, answer, giveUp } = await answering();
    await giveUp(add(guest));
    const removing = remove(guest);
    await settled();
    await answer(1);
    await removing;
    await answer(0);
    expect(asked()).toEqual(["Add", "Remove", "Remove"]);
    // A new addition waits for that, and may be cancelled meanwhile.
    const adding = add(guest);
    const impatient = new AbortController();
    const leaving = expect(add(guest, impatient.signal)).rejects.toMatchObject({ code: "Cancelled" });
    await settled();
    impatient.abort();
    await leaving;
    expect(asked()).toHaveLength(3);
    await answer(2);
    expect(asked()).toEqual(["Add", "Remove", "Remove", "Add"]);
    await answer(3);
    await adding;
    expect(fake.delays).toEqual([]);
    await guest.close();
  });

  it("is undone also if the removal itself is abandoned", async () => {
    const { guest, asked, answer, giveUp } = await answering();
    await giveUp(guest.mountDisk(disk));
    await giveUp(guest.unmountDisk(disk));
    await answer(0);
    expect(asked()).toEqual(["Add", "Remove", "Remove"]);
    await guest.close();
  });

  it("stays if it has been added again", async () => {
    const { guest, asked, answer, giveUp } = await answering();
    await giveUp(guest.mountDisk(disk));
    await giveUp(guest.unmountDisk(disk));
    const again = guest.mountDisk(disk);
    await settled();
    await answer(0);
    await answer(2);
    await again;
    expect(asked()).toEqual(["Add", "Remove", "Add"]);
    await guest.close();
  });

  it("is nothing if the guest finally refuses it", async () => {
    const { fake, guest, asked, answers, giveUp } = await answering();
    await giveUp(guest.mountDisk(disk));
    await giveUp(guest.unmountDisk(disk));
    answers[0]?.reject(new GuestFault("ERROR_NOT_FOUND", "no such disk"));
    await settled();
    expect(asked()).toEqual(["Add", "Remove"]);
    expect(fake.logged).toEqual([]);
    await guest.close();
  });

  it("is logged if it cannot be undone, but not once the guest is gone", async () => {
    const { fake, guest, answers, answer, giveUp } = await answering();
    await giveUp(guest.mountDisk(disk));
    await giveUp(guest.unmountDisk(disk));
    await answer(0);
    answers[2]?.reject(new GuestFault("E_FAIL", "busy"));
    await settled();
    expect(fake.logged).toEqual([
      "the guest added a resource after its removal: removing it again",
      "cannot remove a resource that the guest added too late",
    ]);
    await giveUp(guest.mountDisk(disk));
    await giveUp(guest.unmountDisk(disk));
    await answer(3);
    await fake.server.close();
    await settled();
    expect(fake.logged).toHaveLength(3);
  });

  it("is not logged if the request was a query", async () => {
    const answer = Promise.withResolvers<{ readonly Properties: string }>();
    const { fake, guest, process } = await made({ getProperties: () => answer.promise });
    const watching = new AbortController();
    const asking = expect(process.exists(watching.signal)).rejects.toMatchObject({ code: "Cancelled" });
    await settled();
    watching.abort();
    await asking;
    answer.resolve({ Properties: '{"ProcessList":[]}' });
    await settled();
    expect(fake.logged).toEqual([]);
    await guest.close();
  });

  it("is a container that is removed", async () => {
    const answer = Promise.withResolvers<Record<never, never>>();
    const { fake, guest } = await made({ create: () => answer.promise });
    const creating = expect(guest.createContainer("d", containerSettings)).rejects.toMatchObject({
      code: "DeadlineExceeded",
    });
    await settled();
    fake.expire();
    await creating;
    answer.resolve({});
    await settled();
    const late = fake.seen.filter(({ containerId }) => containerId === "d").map(({ procedure }) => procedure);
    expect(late).toEqual(["create", "shutdownForced", "deleteContainerState"]);
    await guest.close();
  });

  it.each([
    ["process that is killed", added, "signalProcess", { ProcessId: 55, Options: { Signal: 9 } }],
    ["first process whose container is ended", withoutPipes, "shutdownForced", {}],
  ] as const)("is a %s, and whose exit is asked for", async (_what, parameters, procedure, body) => {
    const answer = Promise.withResolvers<{ readonly ProcessId: number }>();
    const { fake, guest, container } = await made({ executeProcess: () => answer.promise });
    const piped = { ...parameters, CreateStdOutPipe: true };
    const executing = expect(container.execute(piped)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await settled();
    fake.expire();
    await executing;
    expect(fake.ports.size).toBe(0);
    answer.resolve({ ProcessId: 55 });
    await settled();
    expect(fake.bodies("waitForProcess").at(-1)).toMatchObject({ ProcessId: 55 });
    expect(fake.bodies(procedure)).toEqual([body]);
    await guest.close();
  });
});
