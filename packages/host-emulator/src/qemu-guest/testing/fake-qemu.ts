/** A server of QMP with the manners of QEMU 7.2, for tests without one. */
import { closeSync, fstatSync, readlinkSync } from "node:fs";
import { DescriptorSocket, unixSocketPair } from "@uvm-shim/linux-calls";
import type { QmpFields } from "../qmp/qmp-client.ts";

/** What QEMU answers a command that it refuses. */
export interface Refusal {
  readonly class: string;
  readonly desc: string;
}

/** How one command goes wrong. */
export type Fault = Refusal | "dies" | "is silent";

class Refused extends Error {
  readonly refusal: Refusal;

  constructor(desc: string, errorClass = "GenericError") {
    super(desc);
    this.refusal = { class: errorClass, desc };
  }
}

interface Command {
  readonly execute: string;
  readonly arguments?: QmpFields;
  readonly id?: unknown;
}

interface Node {
  readonly set: number;
  readonly settings: QmpFields;
}

const mebibyte = 2 ** 20;

/** QEMU as its monitor shows it. */
export class FakeQemu {
  /** The client's end. */
  readonly client: DescriptorSocket;
  /** Commands by name, in their order. */
  readonly commands: string[] = [];
  readonly devices = new Map<string, QmpFields>();
  readonly nodes = new Map<string, Node>();
  readonly netdevs = new Map<string, QmpFields>();
  /** Descriptors by fdset. */
  readonly sets = new Map<number, number>();
  readonly namedDescriptors = new Map<string, number>();
  readonly links = new Map<string, boolean>();
  memory = { bootMb: 256, balloonMb: 256, pluggedMb: 0 };
  isRunning = false;
  /** Whether the guest takes part in what needs it: unplugging of PCI devices and memory. */
  isHelpful = true;
  /** How many times a node says that it is in use after its device has gone. */
  lingers = 0;
  /** What goes wrong with the n-th command, counted from 0, instead of its effect. */
  readonly faults = new Map<number, Fault>();
  /** Called when it dies. */
  died = (): void => {};
  readonly #socket: DescriptorSocket;
  readonly #unplugging = new Set<string>();
  #text = "";
  #descriptors: number[] = [];
  #isNegotiating = true;
  #isDead = false;

  constructor() {
    const [one, other] = unixSocketPair();
    this.client = new DescriptorSocket(one, 1);
    this.#socket = new DescriptorSocket(other, 1);
    this.#socket.watch(() => this.#read());
    const version = { qemu: { micro: 22, minor: 2, major: 7 }, package: "Debian 1:7.2" };
    this.#write({ QMP: { version, capabilities: ["oob"] } });
  }

  /** What it holds of its caller's: nothing once all is detached. */
  get held(): readonly string[] {
    return [
      ...[...this.devices.keys()].map((id) => `device ${id}`),
      ...[...this.nodes.keys()].map((name) => `node ${name}`),
      ...[...this.netdevs.keys()].map((id) => `netdev ${id}`),
      ...[...this.sets.keys()].map((id) => `fdset ${id}`),
      ...[...this.namedDescriptors.keys()].map((name) => `descriptor ${name}`),
    ];
  }

  /** The path of a node's file, as QEMU would open it. */
  fileOf(node: string): string {
    return readlinkSync(`/proc/self/fd/${this.sets.get(this.nodes.get(node)?.set ?? -1)}`);
  }

  event(event: string, data: QmpFields = {}): void {
    if (!this.#isNegotiating) this.#write({ timestamp: { seconds: 1, microseconds: 2 }, event, data });
  }

  /** The guest lets go of a PCI device. */
  release(id: string): void {
    if (!this.#unplugging.delete(id)) throw new Error(`${id} is not being unplugged`);
    this.#delete(id);
  }

  /** Sends anything. */
  say(text: string): void {
    this.#socket.send(Buffer.from(text));
  }

  die(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#socket.close();
    for (const descriptor of [...this.sets.values(), ...this.namedDescriptors.values(), ...this.#descriptors]) {
      closeSync(descriptor);
    }
    for (const held of [this.sets, this.namedDescriptors, this.devices, this.nodes, this.netdevs]) held.clear();
    this.#descriptors = [];
    this.died();
  }

  #read(): void {
    const bytes = Buffer.alloc(1 << 16);
    while (!this.#isDead) {
      const arrived = this.#socket.receive(bytes);
      if (arrived === undefined) return;
      if (arrived.length === 0) {
        this.die();
        return;
      }
      this.#descriptors.push(...arrived.descriptors);
      this.#text += bytes.toString("utf8", 0, arrived.length);
      const lines = this.#text.split("\n");
      this.#text = lines.pop() ?? "";
      for (const line of lines) if (!this.#isDead) this.#take(line);
    }
  }

  #take(line: string): void {
    const command = JSON.parse(line) as Command;
    const fault = this.faults.get(this.commands.length);
    this.commands.push(command.execute);
    if (fault === "dies") this.die();
    if (fault === "dies" || fault === "is silent") return;
    try {
      if (fault !== undefined) {
        // The descriptor of a refused add-fd or getfd is closed.
        for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor);
        throw new Refused(fault.desc, fault.class);
      }
      const result = this.#run(command.execute, command.arguments ?? {}) ?? {};
      this.#write({ return: result, id: command.id });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#write({ id: command.id, error: error.refusal });
    }
  }

  #run(name: string, given: QmpFields): unknown {
    if (this.#isNegotiating !== (name === "qmp_capabilities")) {
      throw new Refused(`Expecting capabilities negotiation with 'qmp_capabilities'`, "CommandNotFound");
    }
    switch (name) {
      case "qmp_capabilities":
        this.#isNegotiating = false;
        return undefined;
      case "stop":
      case "cont":
        this.isRunning = name === "cont";
        return this.event(name === "cont" ? "RESUME" : "STOP");
      case "add-fd":
        return this.#addDescriptor();
      case "remove-fd":
        return this.#closeSet(given["fdset-id"] as number);
      case "getfd":
        this.namedDescriptors.set(String(given.fdname), this.#takeDescriptor());
        return undefined;
      case "closefd":
        return this.#closeNamed(String(given.fdname));
      case "blockdev-add":
        return this.#addNode(given);
      case "blockdev-del":
        return this.#deleteNode(String(given["node-name"]));
      case "netdev_add":
        return this.#addNetdev(given);
      case "netdev_del":
        if (this.netdevs.delete(String(given.id))) return undefined;
        throw new Refused(`Device '${given.id}' not found`, "DeviceNotFound");
      case "device_add":
        return this.#addDevice(given);
      case "device_del":
        return this.#unplug(String(given.id));
      case "set_link":
        this.links.set(String(given.name), given.up === true);
        return undefined;
      case "balloon":
        if (this.isHelpful) this.memory = { ...this.memory, balloonMb: (given.value as number) / mebibyte };
        return undefined;
      case "query-balloon":
        return { actual: this.memory.balloonMb * mebibyte };
      case "qom-set":
        if (this.isHelpful) this.memory = { ...this.memory, pluggedMb: (given.value as number) / mebibyte };
        return undefined;
      case "query-memory-devices":
        return [{ type: "virtio-mem", data: { id: "memory", size: this.memory.pluggedMb * mebibyte } }];
      case "system_powerdown":
        return this.event("POWERDOWN");
      default:
        throw new Refused(`The command ${name} has not been found`, "CommandNotFound");
    }
  }

  #takeDescriptor(): number {
    const descriptor = this.#descriptors.shift();
    if (descriptor === undefined) throw new Refused("No file descriptor supplied via SCM_RIGHTS");
    fstatSync(descriptor);
    return descriptor;
  }

  #addDescriptor(): QmpFields {
    let set = 0;
    while (this.sets.has(set)) set++;
    const fd = this.#takeDescriptor();
    this.sets.set(set, fd);
    return { "fdset-id": set, fd };
  }

  #closeSet(set: number): void {
    const descriptor = this.sets.get(set);
    if (descriptor === undefined) throw new Refused(`File descriptor named 'fdset-id:${set}' not found`);
    this.sets.delete(set);
    closeSync(descriptor);
  }

  #closeNamed(name: string): void {
    const descriptor = this.namedDescriptors.get(name);
    if (descriptor === undefined) throw new Refused(`File descriptor named '${name}' not found`);
    this.namedDescriptors.delete(name);
    closeSync(descriptor);
  }

  #addNode(settings: QmpFields): void {
    const name = String(settings["node-name"]);
    if (this.nodes.has(name)) throw new Refused(`Duplicate nodes with node-name='${name}'`);
    const { filename } = settings.file as { readonly filename: string };
    const set = Number(/^\/dev\/fdset\/(\d+)$/.exec(filename)?.[1] ?? -1);
    if (!this.sets.has(set)) throw new Refused(`Could not open '${filename}': No such file or directory`);
    this.nodes.set(name, { set, settings });
  }

  #deleteNode(name: string): void {
    if (!this.nodes.has(name)) throw new Refused(`Failed to find node with node-name='${name}'`);
    const isUsed = [...this.devices.values()].some(({ drive }) => drive === name);
    if (isUsed || this.lingers-- > 0) throw new Refused(`Node ${name} is in use`);
    this.nodes.delete(name);
  }

  #addNetdev(settings: QmpFields): void {
    const descriptor = this.namedDescriptors.get(String(settings.fd));
    if (descriptor === undefined) throw new Refused(`File descriptor named '${settings.fd}' has not been found`);
    this.#closeNamed(String(settings.fd));
    this.netdevs.set(String(settings.id), settings);
  }

  #addDevice(settings: QmpFields): void {
    const id = String(settings.id);
    if (this.devices.has(id)) throw new Refused(`Duplicate device ID '${id}'`);
    if (settings.drive !== undefined && !this.nodes.has(String(settings.drive))) {
      throw new Refused(`Property 'scsi-hd.drive' can't find value '${settings.drive}'`);
    }
    this.devices.set(id, settings);
  }

  #unplug(id: string): void {
    const device = this.devices.get(id);
    if (device === undefined) throw new Refused(`Device '${id}' not found`, "DeviceNotFound");
    // A SCSI disk is gone at once, and the event comes before the answer.
    if (device.driver === "scsi-hd") {
      this.#delete(id);
      return;
    }
    if (this.#unplugging.has(id)) throw new Refused(`Device ${id} is already in the process of unplug`);
    this.#unplugging.add(id);
    if (this.isHelpful) setImmediate(() => !this.#isDead && this.#unplugging.has(id) && this.release(id));
  }

  #delete(id: string): void {
    this.devices.delete(id);
    this.event("DEVICE_DELETED", { device: id, path: `/machine/peripheral/${id}` });
  }

  #write(message: QmpFields): void {
    if (!this.#isDead) this.#socket.send(Buffer.from(`${JSON.stringify(message)}\r\n`));
  }
}
