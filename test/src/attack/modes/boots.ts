/** Guests that never become one. */
import { setTimeout as delay } from "node:timers/promises";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { bootOrdinarily } from "../guest/boot.ts";
import type { HostileGuest } from "../guest/hostile-guest.ts";
import { capabilities } from "../guest/ordinary.ts";
import { forgery } from "./answers.ts";
import type { Mode } from "./mode.ts";

const negotiates =
  (work: (guest: HostileGuest, request: { readonly type: number; readonly id: bigint }) => void): Mode["attack"] =>
  (guest) =>
    guest.onAnything("negotiateProtocol", (request) => work(guest, request));

const nothing = (): void => {};

async function dialMany(guest: HostileGuest, port: number, count: number, text: string): Promise<void> {
  for (let made = 0; made < count; made += 1) {
    await guest.dial(port).then(
      (socket) => socket.write(text),
      () => delay(10),
    );
  }
  guest.struck(`dialled ${port}`);
}

export const bootModes: readonly Mode[] = [
  {
    name: "boot-undialled",
    what: "starts and never dials its host",
    attack: nothing,
    boot: async (guest) => guest.struck("says nothing"),
  },
  {
    name: "boot-unanswered",
    what: "dials, and never answers the first request",
    attack: negotiates(() => {}),
    boot: bootOrdinarily,
  },
  {
    name: "boot-other-version",
    what: "speaks another version of the protocol, in capitals",
    attack: negotiates((guest, request) => guest.answerText(request, '{"RESULT":0,"VERSION":3,"CAPABILITIES":{}}')),
    boot: bootOrdinarily,
  },
  {
    name: "boot-capabilities-wide",
    what: "has 100,000 capabilities and as many versions",
    attack: negotiates((guest, request) => {
      const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, true]));
      const SupportedSchemaVersions = new Array(50_000).fill({ Major: 1, Minor: 0 });
      guest.answer(request, { Version: 4, Capabilities: { ...capabilities, ...many, SupportedSchemaVersions } });
    }),
    boot: bootOrdinarily,
  },
  {
    name: "boot-refused",
    what: "refuses the protocol with a text that forges lines",
    attack: negotiates((guest, request) => guest.answer(request, { Result: -1, ErrorMessage: forgery.repeat(500) })),
    boot: bootOrdinarily,
  },
  {
    name: "boot-garbage",
    what: "answers the first request with random bytes",
    attack: negotiates((guest) =>
      guest.raw(Buffer.from(Array.from({ length: 8192 }, () => Math.floor(guest.options.random() * 256)))),
    ),
    boot: bootOrdinarily,
  },
  {
    name: "boot-hangs-up",
    what: "ends the bridge at the first request, each time anew",
    attack: negotiates((guest) => void guest.bridge?.destroy()),
    boot: bootOrdinarily,
  },
  {
    name: "boot-dials-often",
    what: "dials bridge, log and entropy 400 times each and reads nothing",
    attack: nothing,
    boot: async (guest) => {
      await dialMany(guest, linuxVsockPorts.log, 400, `${JSON.stringify({ level: "info", msg: forgery })}\n`);
      await dialMany(guest, linuxVsockPorts.entropy, 400, "x".repeat(10_000));
      await dialMany(guest, linuxVsockPorts.gcs, 400, "x".repeat(10_000));
    },
  },
  {
    name: "boot-ends",
    what: "ends as soon as it is up, with last words",
    attack: nothing,
    boot: async (guest) => {
      guest.struck("ends");
      process.stderr.write(`${forgery}\n`.repeat(2_000), () => process.exit(3));
    },
  },
  {
    name: "boot-console",
    what: "writes to its console without end",
    attack: nothing,
    busy: true,
    boot: async (guest) => {
      const end = performance.now() + guest.options.floodMs;
      while (performance.now() < end) {
        await new Promise((resolve) => process.stderr.write(forgery.repeat(500), resolve));
      }
      guest.struck("wrote");
    },
  },
];
