import { closeSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import { systemClock } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { unixSocketPair } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { GuestNic } from "../../guest-machine.ts";
import type { VirtualSwitch } from "../../networks/switches.ts";
import type { DiskFile } from "../../system/disk-file.ts";
import { QmpClient } from "../qmp/qmp-client.ts";
import { FakeQemu, type Fault } from "../testing/fake-qemu.ts";
import { QemuDisks } from "./disks.ts";
import { QemuMemory } from "./memory.ts";
import { QemuNics } from "./nics.ts";
import { unplug } from "./unplug.ts";

const refusal: Fault = { class: "GenericError", desc: "no more of this" };
const slot = { controller: 2, lun: 63 };
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

let folder: string;
let clock: ManualClock;
let qemu: FakeQemu;
let client: QmpClient;
let reports: string[];
const report = (message: string): void => void reports.push(message);

describeWith("Linux")("devices of a QEMU", () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "qemu-devices-"));
    clock = new ManualClock();
    await connect();
  });
  afterEach(() => {
    qemu.die();
    qemu.client.close();
    rmSync(folder, { recursive: true });
  });

  async function connect(): Promise<void> {
    reports = [];
    qemu = new FakeQemu();
    client = new QmpClient(qemu.client, { clock: systemClock, answerTimeoutMs: 10_000, failed: () => {} });
    await client.start();
  }

  function diskFile(more: Partial<DiskFile> = {}): DiskFile {
    const path = join(folder, "disk");
    writeFileSync(path, "content");
    return { path, readOnly: false, identity: "1:1", ...more };
  }

  const patience = () => ({ clock, unplugTimeoutMs: 100 });
  const someDisks = (): QemuDisks => new QemuDisks(client, patience(), report);
  const someNics = (): QemuNics => new QemuNics(client, patience(), report);

  /** A switch whose taps are sockets, with the number of ports that it has. */
  function someSwitch() {
    let ports = 0;
    const plugTap: VirtualSwitch["plugTap"] = async () => {
      const [descriptor, other] = unixSocketPair();
      closeSync(other);
      ports++;
      let isThere = true;
      const remove = async (): Promise<void> => {
        if (isThere) ports--;
        isThere = false;
      };
      return { descriptor, disconnect: async () => {}, remove };
    };
    const plug = (): never => {
      throw new Error("a QEMU has taps");
    };
    return { switch: { plug, plugTap }, ports: () => ports };
  }

  const nicOf = (plugInto: VirtualSwitch): GuestNic => ({
    id: "nic",
    macAddress: "00:15:5d:00:00:01",
    switch: plugInto,
  });

  it("gets a disk as a descriptor, at the address of Hyper-V", async () => {
    const disks = someDisks();
    await disks.attach(slot, diskFile());
    const [[id, device] = ["", {}]] = qemu.devices;
    expect(device).toMatchObject({ driver: "scsi-hd", bus: "scsi2.0", channel: 0, "scsi-id": 0, lun: 63 });
    expect(qemu.fileOf(id)).toBe(join(folder, "disk"));
    expect(qemu.nodes.get(id)?.settings).toMatchObject({ driver: "raw", "read-only": false });
    await disks.detach(slot);
    expect(qemu.held).toEqual([]);
  });

  it("has QEMU read a VHDX", async () => {
    await someDisks().attach(slot, diskFile({ isVhdx: true }));
    const settings = [...qemu.nodes.values()][0]?.settings;
    expect(settings).toMatchObject({ driver: "vhdx", file: { driver: "file", "read-only": false } });
  });

  it("ends a fixed VHD before its footer, in whole sectors", async () => {
    const disks = someDisks();
    await disks.attach(slot, diskFile({ readOnly: true, sizeLimit: 4096 + 100 }));
    const settings = [...qemu.nodes.values()][0]?.settings;
    expect(settings).toMatchObject({
      driver: "raw",
      offset: 0,
      size: 4096,
      "read-only": true,
      "auto-read-only": false,
      file: { driver: "file", "read-only": true, "auto-read-only": false },
    });
  });

  it("waits while a node is in use after its disk has gone", async () => {
    const disks = someDisks();
    await disks.attach(slot, diskFile());
    qemu.lingers = 2;
    const detached = disks.detach(slot);
    while (qemu.held.length > 0) await clock.advance(20);
    await detached;
  });

  it("attaches nothing when any command for it fails, and can attach afterwards", async () => {
    const before = openDescriptors();
    for (let at = 1; at <= 3; at++) {
      const disks = someDisks();
      qemu.faults.set(qemu.commands.length + at - 1, refusal);
      await expect(disks.attach(slot, diskFile())).rejects.toThrow("no more of this");
      expect(qemu.held).toEqual([]);
      await disks.attach(slot, diskFile());
      await disks.detach(slot);
      expect(qemu.held).toEqual([]);
    }
    expect(openDescriptors()).toBe(before);
    expect(reports).toEqual([]);
  });

  it("goes on with a detachment that failed at any command", async () => {
    for (let at = 0; at < 3; at++) {
      const disks = someDisks();
      await disks.attach(slot, diskFile());
      qemu.faults.set(qemu.commands.length + at, refusal);
      await expect(disks.detach(slot)).rejects.toThrow("no more of this");
      expect(qemu.held).not.toEqual([]);
      await disks.detach(slot);
      expect(qemu.held).toEqual([]);
    }
  });

  it("undoes what it could not undo at once before it does anything else", async () => {
    const disks = someDisks();
    const first = qemu.commands.length;
    // device_add, and the removal of the node after it.
    qemu.faults.set(first + 2, refusal);
    qemu.faults.set(first + 3, refusal);
    await expect(disks.attach(slot, diskFile())).rejects.toThrow("refused device_add");
    expect(qemu.held).toEqual([expect.stringMatching(/^node disk-2-63-1$/), "fdset 0"]);
    expect(reports).toEqual([expect.stringContaining("refused blockdev-del")]);
    await disks.attach(slot, diskFile());
    await disks.detach(slot);
    expect(qemu.held).toEqual([]);
  });

  it("keeps no descriptor of a disk or NIC when QEMU dies at any command", async () => {
    const plugInto = someSwitch();
    for (let at = 0; at < 3; at++) {
      for (const add of [() => someDisks().attach(slot, diskFile()), () => someNics().add(nicOf(plugInto.switch))]) {
        qemu.client.close();
        await connect();
        const before = openDescriptors();
        qemu.faults.set(qemu.commands.length + at, "dies");
        await expect(add()).rejects.toMatchObject({ hresult: hresults.HCS_E_CONNECTION_CLOSED });
        // Both ends of the monitor.
        expect(openDescriptors()).toBe(before - 2);
        expect(plugInto.ports()).toBe(0);
        expect(reports).toEqual([]);
      }
    }
  });

  it("connects a NIC by a tap's descriptor, without a boot ROM", async () => {
    const plugInto = someSwitch();
    const nics = someNics();
    await nics.add(nicOf(plugInto.switch));
    expect(qemu.devices.get("nic-1")).toMatchObject({
      driver: "virtio-net-pci",
      netdev: "nic-1",
      mac: "00:15:5d:00:00:01",
      romfile: "",
    });
    expect(qemu.netdevs.get("nic-1")).toMatchObject({ type: "tap", fd: "nic-1", vhost: false });
    await nics.disconnect("nic");
    expect(qemu.links.get("nic-1")).toBe(false);
    await nics.remove("nic");
    await nics.remove("nic");
    expect([qemu.held, plugInto.ports()]).toEqual([[], 0]);
  });

  it("adds no NIC when any command for it fails, and goes on with a removal that failed at any", async () => {
    const before = openDescriptors();
    const plugInto = someSwitch();
    const nics = someNics();
    for (let at = 0; at < 3; at++) {
      qemu.faults.set(qemu.commands.length + at, refusal);
      await expect(nics.add(nicOf(plugInto.switch))).rejects.toThrow("no more of this");
      expect([qemu.held, plugInto.ports()]).toEqual([[], 0]);
    }
    for (let at = 0; at < 2; at++) {
      await nics.add(nicOf(plugInto.switch));
      qemu.faults.set(qemu.commands.length + at, refusal);
      await expect(nics.remove("nic")).rejects.toThrow("no more of this");
      expect(plugInto.ports()).toBe(1);
      await nics.remove("nic");
      expect([qemu.held, plugInto.ports()]).toEqual([[], 0]);
    }
    expect(openDescriptors()).toBe(before);
  });

  it("gives up on a guest that does not let go of a NIC, and removes it when it has", async () => {
    qemu.isHelpful = false;
    const plugInto = someSwitch();
    const nics = someNics();
    await nics.add(nicOf(plugInto.switch));
    const removal = expect(nics.remove("nic")).rejects.toMatchObject({
      hresult: hresults.HCS_E_OPERATION_TIMEOUT,
      message: expect.stringContaining("the guest did not let go of device nic-1 within 100 ms"),
    });
    while (qemu.commands.at(-1) !== "device_del") await turn();
    await turn();
    await clock.advance(100);
    await removal;
    const again = nics.remove("nic");
    await turn();
    await turn();
    qemu.release("nic-1");
    await again;
    expect([qemu.held, plugInto.ports()]).toEqual([[], 0]);
  });

  it("takes a device that has gone meanwhile for removed", async () => {
    await unplug(client, "never-there", patience());
  });

  it("releases the ports of a machine that has ended", async () => {
    const plugInto = someSwitch();
    const nics = someNics();
    await nics.add(nicOf(plugInto.switch));
    qemu.die();
    await nics.release();
    expect(plugInto.ports()).toBe(0);
  });

  function someMemory(): QemuMemory {
    return new QemuMemory(client, { bootMb: 256, mostMb: 1024 }, { clock, resizeTimeoutMs: 100 }, report);
  }

  it("grows beyond what it booted with, and shrinks below", async () => {
    const memory = someMemory();
    await memory.resize(512);
    expect(qemu.memory).toEqual({ bootMb: 256, balloonMb: 256, pluggedMb: 256 });
    await memory.resize(128);
    expect(qemu.memory).toEqual({ bootMb: 256, balloonMb: 128, pluggedMb: 0 });
    expect(memory.sizeMb).toBe(128);
    await expect(memory.resize(1026)).rejects.toThrow("made for at most 1024 MiB");
  });

  it("asks for the former size again when the guest does not follow, or a command fails", async () => {
    const memory = someMemory();
    await memory.resize(512);
    for (let at = 0; at < 4; at++) {
      qemu.faults.set(qemu.commands.length + at, refusal);
      await expect(memory.resize(768)).rejects.toThrow("no more of this");
      expect(qemu.memory.pluggedMb).toBe(256);
    }
    qemu.isHelpful = false;
    const outcome = expect(memory.resize(768)).rejects.toMatchObject({
      hresult: hresults.E_OUTOFMEMORY,
      message: "the guest did not change its memory to 768 MiB within 100 ms; it has 512 MiB",
    });
    for (let waits = 0; waits < 2; waits++) {
      while (clock.sleepers < 2) await turn();
      await clock.advance(50);
    }
    await outcome;
    expect(memory.sizeMb).toBe(512);
    const changes = qemu.commands.filter((command) => !command.startsWith("query"));
    expect(changes.slice(-4)).toEqual(["qom-set", "balloon", "qom-set", "balloon"]);
  });
});
