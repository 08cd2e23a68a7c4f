/** Connections for the victim's stdio: not made, made often, endless, broken, or never read. */
import type { Socket } from "node:net";
import type { HostileGuest } from "../guest/hostile-guest.ts";
import { readExecute, type StreamPorts, startProcess } from "../guest/ordinary.ts";
import type { GuestRequest } from "../guest/requests.ts";
import type { Mode } from "./mode.ts";

type Streams = { readonly StdIn?: Socket; readonly StdOut?: Socket; readonly StdErr?: Socket };

/** Executes with such connections as the mode makes, and does something with them then. */
const executes =
  (
    dial: (guest: HostileGuest, ports: StreamPorts) => Promise<Streams>,
    then: (guest: HostileGuest, streams: Streams) => unknown = () => {},
  ): Mode["attack"] =>
  (guest) => {
    const execute = async (request: GuestRequest): Promise<void> => {
      const { parameters, ports } = readExecute(request);
      const streams = await dial(guest, ports);
      startProcess(guest, request, parameters.OCIProcess?.args, streams);
      await then(guest, streams);
    };
    guest.onVictim("executeProcess", (request) => void execute(request).catch(() => guest.struck("could not dial")));
  };

async function dialAll(guest: HostileGuest, ports: StreamPorts): Promise<Streams> {
  const entries = Object.entries(ports) as [keyof Streams, number][];
  return Object.fromEntries(await Promise.all(entries.map(async ([name, port]) => [name, await guest.dial(port)])));
}

export const stdioModes: readonly Mode[] = [
  {
    name: "stdio-undialled",
    what: "starts the victim and does not dial its stdio",
    attack: executes(async () => ({})),
    stdio: true,
  },
  {
    name: "stdio-twice",
    what: "dials each port of the victim's stdio 50 times",
    attack: executes(async (guest, ports) => {
      const streams = await dialAll(guest, ports);
      for (const port of Object.values(ports)) {
        for (let count = 0; count < 50; count += 1)
          void guest.dial(port).then(
            (one) => one.write("again"),
            () => {},
          );
      }
      return streams;
    }),
    stdio: true,
    mustEnd: true,
  },
  {
    name: "stdio-endless",
    what: "writes without end to the victim's output, which nobody reads",
    attack: executes(dialAll, (guest, { StdOut, StdErr }) => {
      void guest.flood(StdOut, () => Buffer.alloc(65_536, "x"));
      void guest.flood(StdErr, () => Buffer.alloc(65_536, "y"));
    }),
    stdio: true,
    busy: true,
    mustEnd: true,
  },
  {
    name: "stdio-unread",
    what: "reads nothing of what the victim's client writes",
    provoke: ["talk"],
    attack: executes(dialAll, (_guest, { StdIn }) => StdIn?.pause()),
    stdio: true,
    mustEnd: true,
  },
  {
    name: "stdio-broken",
    what: "breaks the connections of the victim's stdio as soon as they are made",
    provoke: ["talk"],
    attack: executes(dialAll, (_guest, streams) => {
      for (const stream of Object.values(streams)) stream.resetAndDestroy();
    }),
    stdio: true,
    mustEnd: true,
  },
  {
    name: "stdio-crossed",
    what: "takes the victim's input for its output",
    provoke: ["talk"],
    attack: executes(async (guest, { StdIn, StdOut, StdErr }) => ({
      ...(StdOut !== undefined && { StdIn: await guest.dial(StdOut) }),
      ...(StdIn !== undefined && { StdOut: await guest.dial(StdIn) }),
      ...(StdErr !== undefined && { StdErr: await guest.dial(StdErr) }),
    })),
    stdio: true,
    mustEnd: true,
  },
  {
    name: "stdio-every-port",
    what: "dials 300 ports besides those that it was given",
    attack: executes(async (guest, ports) => {
      for (let offset = 1; offset <= 300; offset += 1) void guest.dial(0x4000_0000 + offset).catch(() => {});
      return await dialAll(guest, ports);
    }),
    stdio: true,
  },
];
