/** Frames that nobody asked for, of wrong lengths, in pieces; and connections that end. */
import { messageType, responseTypeOf } from "../../../../packages/gcs-bridge/src/wire.ts";
import type { HostileGuest } from "../guest/hostile-guest.ts";
import type { GuestRequest } from "../guest/requests.ts";
import type { Mode } from "./mode.ts";

const headerBytes = 16;

/** Header of a frame that says to be of such a size, whatever follows. */
function header(type: number, size: number, id: bigint): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(size, 4);
  bytes.writeBigUInt64LE(id, 8);
  return bytes;
}

const atFigures =
  (reaction: (guest: HostileGuest, request: GuestRequest) => void): Mode["attack"] =>
  (guest) =>
    guest.onVictim("getProperties", (request) => reaction(guest, request));

const spontaneously =
  (work: (guest: HostileGuest) => void): Mode["attack"] =>
  (guest) =>
    guest.afterVictimRuns(() => {
      work(guest);
      guest.struck("by itself");
    });

const responseType = responseTypeOf(messageType("request", 9));
const body = '{"Result":0,"Properties":"{}"}';

export const frameModes: readonly Mode[] = [
  {
    name: "ids-unknown",
    what: "answers 900 requests that nobody has made",
    attack: spontaneously((guest) => {
      for (let id = 0n; id < 900n; id += 1n) guest.send(responseType, 0xffff_ffff_0000_0000n + id, body);
    }),
  },
  {
    name: "ids-unknown-many",
    what: "answers 20,000 requests that nobody has made",
    attack: spontaneously((guest) => {
      for (let id = 0n; id < 20_000n; id += 1n) guest.send(responseType, 0xffff_ffff_0000_0000n + id, body);
    }),
    silent: true,
  },
  {
    name: "ids-twice",
    what: "answers one request twice",
    provoke: ["stats"],
    attack: atFigures((guest, request) => {
      guest.ordinarily(request);
      guest.ordinarily(request);
    }),
    silent: true,
  },
  {
    name: "ids-ahead",
    what: "answers the next request before it is made",
    provoke: ["stats", "pids"],
    attack: atFigures((guest, request) => {
      for (let ahead = 1n; ahead < 50n; ahead += 1n) guest.send(responseType, request.id + ahead, body);
      guest.ordinarily(request);
    }),
    silent: true,
  },
  {
    name: "answers-of-another-kind",
    what: "answers a request for figures as if it were a creation",
    provoke: ["stats"],
    attack: atFigures((guest, request) => guest.send(responseTypeOf(messageType("request", 1)), request.id, body)),
    silent: true,
  },
  {
    name: "asks-the-host",
    what: "sends requests, as only a host does",
    attack: spontaneously((guest) => guest.send(messageType("request", 1), 1n, '{"ContainerId":"x"}')),
    silent: true,
  },
  {
    name: "kinds-unknown",
    what: "sends messages of a kind that does not exist",
    attack: spontaneously((guest) => guest.send(0xf010_0101, 1n, "{}")),
    silent: true,
  },
  {
    name: "frame-too-long",
    what: "announces a frame of 4 GiB",
    attack: spontaneously((guest) => guest.raw(header(responseType, 0xffff_ffff, 1n))),
    silent: true,
  },
  {
    name: "frame-too-short",
    what: "announces a frame of 3 bytes",
    attack: spontaneously((guest) => guest.raw(header(responseType, 3, 1n))),
    silent: true,
  },
  {
    name: "frame-half",
    what: "stops for ever inside a frame of 4 MiB",
    attack: spontaneously((guest) => {
      guest.raw(header(responseType, 4 * 1024 * 1024, 1n));
      guest.raw(Buffer.alloc(1024, " "));
      // What comes later would be taken for the rest of the frame.
      guest.raw = () => {};
    }),
    silent: true,
  },
  {
    name: "frame-in-pieces",
    what: "sends its answers byte by byte",
    provoke: ["stats", "pids", "stats"],
    attack: (guest) => {
      const whole = guest.raw.bind(guest);
      guest.raw = (bytes) => {
        for (const byte of bytes) whole(Uint8Array.of(byte));
      };
      guest.onVictim("getProperties", (request) => guest.ordinarily(request));
    },
  },
  {
    name: "frame-greatest",
    what: "pads answers with blanks up to the largest frame",
    provoke: ["stats", "pids", "stats", "pids"],
    attack: atFigures((guest, request) =>
      guest.answerText(request, `${body.slice(0, -1)}${" ".repeat(4 * 1024 * 1024 - headerBytes - body.length)}}`),
    ),
  },
  {
    name: "garbage",
    what: "sends 64 KiB of random bytes in place of an answer",
    provoke: ["stats"],
    attack: atFigures((guest) =>
      guest.raw(Buffer.from(Array.from({ length: 65_536 }, () => Math.floor(guest.options.random() * 256)))),
    ),
    silent: true,
  },
  {
    name: "bridge-ends-in-answer",
    what: "ends the bridge in the middle of an answer",
    provoke: ["stats"],
    attack: atFigures((guest, request) => {
      guest.raw(header(responseTypeOf(request.type), 1000, request.id));
      guest.bridge?.end();
    }),
    silent: true,
  },
  {
    name: "bridge-ends-at-kill",
    what: "ends the bridge when the victim is to be killed",
    provoke: ["kill"],
    attack: (guest) => {
      guest.onVictimKilled(() => void guest.bridge?.destroy());
    },
    silent: true,
    mustEnd: true,
  },
  {
    name: "bridge-twice",
    what: "dials the bridge a hundred times more, and speaks on all of them",
    attack: spontaneously((guest) => {
      for (let count = 0; count < 100; count += 1) {
        void guest.dial(0x4000_0000).then(
          (socket) => socket.write(Buffer.alloc(4096, 0xff)),
          () => {},
        );
      }
    }),
  },
  {
    name: "agent-ends",
    what: "ends while the victim's figures are asked for",
    provoke: ["stats", "kill"],
    attack: atFigures((guest) => {
      guest.struck("ends");
      process.exit(1);
    }),
    silent: true,
    mustEnd: true,
  },
  {
    name: "agent-ends-in-order",
    what: "ends in good order, as if its VM had been shut down, at the victim's start",
    attack: spontaneously((guest) => {
      guest.struck("ends");
      process.exit(0);
    }),
    silent: true,
    mustEnd: true,
  },
  {
    name: "agent-hangs",
    what: "answers nothing more once the victim runs",
    provoke: ["stats", "pids", "kill"],
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        guest.struck("hangs");
        guest.react = () => {};
      }),
    silent: true,
    mustEnd: true,
  },
  {
    name: "agent-spins",
    what: "answers nothing more once the victim runs, and keeps a processor busy",
    provoke: ["stats", "kill"],
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        guest.struck("spins");
        for (;;);
      }),
    silent: true,
    busy: true,
    mustEnd: true,
  },
];
