import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeGuest, type GuestLink, type GuestSocket, guestCid } from "../testing/fake-guest.ts";
import { headerBytes, headerLength, readHeader } from "./packet.ts";
import { VsockTransport } from "./transport.ts";

/** A guest and a host with nothing but the transport between them. */
class Wire {
  readonly guest: FakeGuest;
  readonly transport: VsockTransport;
  readonly #link: GuestLink;
  readonly #most: number;
  readonly #dialed: Duplex[] = [];

  constructor(most: number) {
    this.#most = most;
    const dial = (): Promise<Duplex> => {
      const [near, far] = duplexPair({ highWaterMark: 500 });
      this.#dialed.push(far);
      return Promise.resolve(near);
    };
    this.transport = new VsockTransport(guestCid, { dial }, { aheadOfHost: 700 }, () => {});
    this.#link = {
      send: (bytes) => {
        const header = readHeader(bytes.subarray(0, headerLength));
        this.transport.receive({ header, data: bytes.subarray(headerLength) });
      },
      onPacket: () => {},
    };
    this.guest = new FakeGuest(this.#link);
  }

  /** Both ends of a connection of the guest. */
  async connect(): Promise<{ guest: GuestSocket; host: Duplex }> {
    const opening = this.guest.connect(7, 900);
    for (;;) {
      await new Promise(setImmediate);
      this.deliver(1);
      const host = this.#dialed.at(-1);
      if (host !== undefined) return { guest: await opening, host };
    }
  }

  /** Hands at most so many packets to the guest. */
  deliver(count: number): void {
    for (let delivered = 0; delivered < count && this.transport.hasOutput; delivered++) {
      const packet = this.transport.next(this.#most);
      if (packet === undefined) return;
      this.#link.onPacket(Buffer.concat([headerBytes(packet.header), packet.data ?? Buffer.alloc(0)]));
    }
  }
}

type Step =
  | { readonly do: "guest writes" | "host writes"; readonly connection: number; readonly length: number }
  | { readonly do: "guest ends" | "host ends"; readonly connection: number }
  | { readonly do: "guest pauses" | "guest resumes" | "host reads"; readonly connection: number }
  | { readonly do: "delivers"; readonly count: number }
  | { readonly do: "turns" };

const connection = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom("guest writes", "host writes"),
    connection,
    length: fc.integer({ min: 1, max: 3000 }),
  }),
  fc.record({ do: fc.constantFrom("guest ends", "host ends"), connection }),
  fc.record({ do: fc.constantFrom("guest pauses", "guest resumes", "host reads"), connection }),
  fc.record({ do: fc.constant("delivers" as const), count: fc.integer({ min: 1, max: 10 }) }),
  fc.record({ do: fc.constant("turns" as const) }),
  fc.record({ do: fc.constant("turns" as const) }),
);

/** One end of a connection as its program sees it. */
class Program {
  readonly written: Buffer[] = [];
  hasEnded = false;
  #next = 0;

  write(length: number): Buffer {
    const bytes = Buffer.from(Array.from({ length }, () => this.#next++ % 251));
    this.written.push(bytes);
    return bytes;
  }

  get sent(): Buffer {
    return Buffer.concat(this.written);
  }
}

interface Line {
  readonly guest: GuestSocket;
  readonly host: Duplex;
  readonly guestProgram: Program;
  readonly hostProgram: Program;
  /** What the host's program has read. */
  readonly heard: Buffer[];
}

describe("the transport", () => {
  it("brings every byte to the other side, in order and up to its end, whatever the sides do", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 80 }),
        fc.integer({ min: 1, max: 5000 }),
        async (steps, most) => {
          const wire = new Wire(most);
          const lines: Line[] = [];
          for (let made = 0; made < 2; made++) {
            const ends = await wire.connect();
            // Most of what can go wrong does where one side waits for the other.
            ends.guest.pause(true);
            lines.push({ ...ends, guestProgram: new Program(), hostProgram: new Program(), heard: [] as Buffer[] });
          }
          const line = (index: number) => lines[index] ?? expect.fail("no such connection");
          const read = (index: number): void => {
            const { host, heard } = line(index);
            const chunk: Buffer | null = host.read();
            if (chunk !== null) heard.push(chunk);
          };
          for (const taken of steps) {
            switch (taken.do) {
              case "guest writes": {
                const { guest, guestProgram } = line(taken.connection);
                if (!guestProgram.hasEnded) guest.write(guestProgram.write(taken.length));
                break;
              }
              case "host writes": {
                const { host, hostProgram } = line(taken.connection);
                if (!hostProgram.hasEnded) host.write(hostProgram.write(taken.length));
                break;
              }
              case "guest ends": {
                const { guest, guestProgram } = line(taken.connection);
                if (!guestProgram.hasEnded) guest.end();
                guestProgram.hasEnded = true;
                break;
              }
              case "host ends": {
                const { host, hostProgram } = line(taken.connection);
                hostProgram.hasEnded = true;
                host.end();
                break;
              }
              case "guest pauses":
                line(taken.connection).guest.pause(true);
                break;
              case "guest resumes":
                line(taken.connection).guest.pause(false);
                break;
              case "host reads":
                read(taken.connection);
                break;
              case "delivers":
                wire.deliver(taken.count);
                break;
              case "turns":
                await new Promise(setImmediate);
                break;
            }
          }
          for (const { guest, host, guestProgram, heard } of lines) {
            guest.pause(false);
            if (!guestProgram.hasEnded) guest.end();
            host.end();
            host.on("data", (chunk: Buffer) => heard.push(chunk));
          }
          const ended = Promise.all(lines.map(({ guest }) => guest.closed)).then(() => true);
          let isOver: true | undefined;
          ended.then(() => {
            isOver = true;
          });
          for (let turn = 0; turn < 5000 && isOver === undefined; turn++) {
            wire.deliver(100);
            await new Promise(setImmediate);
          }
          for (const { guest, guestProgram, hostProgram, heard } of lines) {
            expect(isOver, "all connections end").toBe(true);
            expect(Buffer.concat(heard).equals(guestProgram.sent)).toBe(true);
            expect((await guest.received).equals(hostProgram.sent)).toBe(true);
          }
          expect(wire.transport.connections).toBe(0);
          expect(wire.transport.hasOutput).toBe(false);
        },
      ),
      { numRuns: 100 },
    );
  });
});
