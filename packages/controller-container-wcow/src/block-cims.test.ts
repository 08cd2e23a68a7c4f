import { windowsPaths } from "@uvm-shim/lifecycle";
import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockCimController } from "./block-cims.ts";
import { FakeCimDisks, FakeGuest, FakeVm } from "./testing/index.ts";
import type { CimConfig } from "./types.ts";

const cim = (hostPath: string, cimName = "layer.cim") => ({ hostPath, type: "VirtualDisk", cimName }) as const;
const layers: CimConfig = { containerId: "c1", cims: [cim("C:\\m\\a.bcim", "merged.cim"), cim("C:\\1\\b.bcim")] };

function cimsOn(script = new ScriptedCalls()) {
  const disks = new FakeCimDisks(script);
  const guest = new FakeGuest(script);
  const vm = new FakeVm(script);
  let ids = 0;
  let guids = 0;
  const cims = new BlockCimController({
    ...{ id: "vm-1", disks, guest: () => guest, vm, paths: windowsPaths },
    newId: () => {
      ids += 1;
      return `r${ids}`;
    },
    newGuid: () => {
      guids += 1;
      return `00000000-0000-4000-8000-${String(guids).padStart(12, "0")}`;
    },
  });
  const leftovers = () => [
    ...[...disks.reserved].map(([id, path]) => `${id} ${path}`),
    ...[...guest.volumes.keys()].map((volume) => `volume ${volume}`),
    ...cims.volumes.map(({ hostPath }) => `tracked ${hostPath}`),
  ];
  return { script, disks, guest, vm, cims, leftovers };
}

describe("block CIMs", () => {
  it("are attached in their order, read-only and not mounted, and become one volume", async () => {
    const { script, disks, guest, vm, cims, leftovers } = cimsOn();
    const reservation = await cims.reserve(layers);
    expect(await cims.mapToGuest(reservation)).toBe("00000000-0000-4000-8000-000000000001");
    expect(disks.requests).toEqual(
      ["C:\\m\\a.bcim", "C:\\1\\b.bcim"].map((hostPath) => [
        { hostPath, readOnly: true, type: "VirtualDisk" },
        { readOnly: true, attachOnly: true },
      ]),
    );
    expect(vm.granted).toEqual(["C:\\m\\a.bcim", "C:\\1\\b.bcim"]);
    expect([...guest.volumes.values()]).toEqual([
      {
        BlockCIMs: [
          { CimName: "merged.cim", Lun: 0 },
          { CimName: "layer.cim", Lun: 1 },
        ],
        ...{ VolumeGUID: "00000000-0000-4000-8000-000000000001", MountFlags: 16, ContainerID: "c1" },
      },
    ]);
    await cims.unmapFromGuest(reservation);
    expect(script.names.slice(-3)).toEqual(["unmountBlockCims", "unmap cim", "unmap cim"]);
    expect(script.calls.slice(-2).map(({ detail }) => detail)).toEqual(["C:\\1\\b.bcim", "C:\\m\\a.bcim"]);
    expect(leftovers()).toEqual([]);
  });

  it("are one volume for all containers with the same layers, however their paths are spelled", async () => {
    const { guest, cims, leftovers } = cimsOn();
    const first = await cims.reserve(layers);
    const second = await cims.reserve({
      ...{ containerId: "c2", cims: [cim("c:/M/A.bcim", "merged.cim"), cim("C:\\1\\b.bcim")] },
    });
    const volume = await cims.mapToGuest(first);
    expect(await cims.mapToGuest(second)).toBe(volume);
    await cims.unmapFromGuest(first);
    expect([...guest.volumes.keys()]).toEqual([volume]);
    await cims.unmapFromGuest(second);
    await cims.unmapFromGuest(second);
    expect(leftovers()).toEqual([]);
  });

  it("of other layers are another volume", async () => {
    const { guest, cims } = cimsOn();
    await cims.mapToGuest(await cims.reserve(layers));
    await cims.mapToGuest(await cims.reserve({ ...layers, cims: layers.cims.slice(0, 1) }));
    expect(guest.volumes.size).toBe(2);
  });

  it("get a new volume after a mount whose answer was lost", async () => {
    const { guest, cims } = cimsOn(new ScriptedCalls(new Map([[4, "lose"]])));
    const reservation = await cims.reserve(layers);
    await expect(cims.mapToGuest(reservation)).rejects.toMatchObject({ code: "Unavailable" });
    const volume = await cims.mapToGuest(reservation);
    expect(volume).toBe("00000000-0000-4000-8000-000000000002");
    expect([...guest.volumes.keys()]).toEqual([volume]);
  });

  it("are refused where there are none, and by an unknown reservation", async () => {
    const { cims } = cimsOn();
    await expect(cims.reserve({ containerId: "c1", cims: [] })).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(cims.mapToGuest("r9")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("can always be given back, whatever fails", async () => {
    const step = fc.record({
      kind: fc.constantFrom("reserve", "map", "unmap"),
      which: fc.nat(20),
      depth: fc.constantFrom(1, 2),
      rest: fc.boolean(),
    });
    const fault = fc.tuple(fc.nat(40), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.array(fault, { maxLength: 8 }), async (steps, faults) => {
        const callers = new Callers();
        const { cims, guest, leftovers } = cimsOn(new ScriptedCalls(new Map(faults), () => callers.abortAll()));
        const made: string[] = [];
        const inUse = new Map<string, string>();
        const held = new Set<string>();
        let pending: Promise<unknown>[] = [];
        const unmap = (id: string): Promise<unknown> =>
          callers.attempt(async (signal) => {
            inUse.delete(id);
            await cims.unmapFromGuest(id, signal);
            held.delete(id);
          });
        for (const { kind, which, depth, rest } of steps) {
          const id = made[which % Math.max(made.length, 1)];
          if (kind === "reserve") {
            const reservation = await cims.reserve({ ...layers, cims: layers.cims.slice(0, depth) });
            made.push(reservation);
            held.add(reservation);
          } else if (id !== undefined && kind === "map") {
            pending.push(
              callers.attempt(async (signal) => {
                const volume = await cims.mapToGuest(id, signal);
                if (held.has(id)) inUse.set(id, volume);
              }),
            );
          } else if (id !== undefined) {
            pending.push(unmap(id).then(() => inUse.delete(id)));
          }
          if (!rest) continue;
          await Promise.all(pending);
          pending = [];
          expect(cims.volumes.reduce((sum, { holders }) => sum + holders, 0)).toBe(held.size);
          for (const volume of inUse.values()) expect([...guest.volumes.keys()]).toContain(volume);
        }
        await Promise.all(pending);
        for (let round = 0; round <= faults.length; round++) await Promise.all(made.map(unmap));
        expect(leftovers()).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});
