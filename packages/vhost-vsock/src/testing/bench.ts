import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DeviceLimits, VsockDevice } from "../index.ts";
import { type DriverOptions, FakeDriver } from "./fake-driver.ts";
import { FakeGuest, guestCid } from "./fake-guest.ts";

/** A device in a folder of its own, with a machine and a guest that are none. */
export class Bench {
  readonly device: VsockDevice;
  readonly driver: FakeDriver;
  readonly guest: FakeGuest;
  readonly folder: string;
  readonly #servers: Server[] = [];
  readonly #sockets: Socket[] = [];

  private constructor(folder: string, device: VsockDevice, options: DriverOptions) {
    this.folder = folder;
    this.device = device;
    this.driver = new FakeDriver(join(folder, "machine"), options);
    this.guest = new FakeGuest(this.driver);
  }

  /** With a machine that has connected and said nothing. */
  static async connect(options: DriverOptions = {}, limits: Partial<DeviceLimits> = {}): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), "vhost-vsock-"));
    const device = await VsockDevice.listen({
      id: "vm",
      machineSocket: join(folder, "machine"),
      guestCid,
      socketBase: join(folder, "vm.vsock"),
      limits,
    });
    return new Bench(folder, device, options);
  }

  /** With a guest whose driver has started. */
  static async boot(options: DriverOptions = {}, limits: Partial<DeviceLimits> = {}): Promise<Bench> {
    const bench = await Bench.connect(options, limits);
    await bench.driver.start();
    return bench;
  }

  /** A program of the host at a port. */
  async hostServes(port: number, serve: (socket: Socket) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.push(socket);
      socket.on("error", () => {});
      serve(socket);
    });
    this.#servers.push(server);
    server.listen(join(this.folder, `vm.vsock_${port}`));
    await once(server, "listening");
  }

  /** Where the host dials the guest. */
  get hostDials(): string {
    return join(this.folder, "vm.vsock");
  }

  /** Ends the programs of the host. */
  closeHost(): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
  }

  close(): void {
    this.driver.close();
    this.device.close();
    this.closeHost();
    rmSync(this.folder, { recursive: true });
  }
}

/** Lets the event loop turn until something holds; the test's time limit is its end. */
export async function turnsUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

/** Enough turns for whatever could still happen. */
export async function someTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
}

/** All that comes up to the end; the consumers of node:stream would destroy the stream then. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE((at * 2654435761 + seed) >>> 0, at);
  return bytes;
}

/** File descriptors of this process. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
