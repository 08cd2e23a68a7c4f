/** More than anybody can handle, for as long as the host reads. */
import { containerNotificationType, encodeFrame, messageType } from "../../../../packages/gcs-bridge/src/wire.ts";
import type { HostileGuest } from "../guest/hostile-guest.ts";
import { forgery } from "./answers.ts";
import type { Mode } from "./mode.ts";

const frame = (type: number, text: string): Buffer => encodeFrame({ type, id: 0n, body: Buffer.from(text) });

const victimOf = (guest: HostileGuest): string => guest.processes.containers.find((id) => id.endsWith("victim")) ?? "";

const floodsBridge =
  (chunk: (guest: HostileGuest) => (number: number) => Uint8Array): Mode["attack"] =>
  (guest) =>
    guest.afterVictimRuns(() => guest.flood(guest.bridge, chunk(guest)));

const floodsLog =
  (chunk: (number: number) => string | Uint8Array): Mode["attack"] =>
  (guest) =>
    guest.afterVictimRuns(() => guest.flood(guest.log, chunk));

const notice = (guest: HostileGuest, Type: string): Buffer =>
  frame(
    containerNotificationType,
    JSON.stringify({ ContainerId: victimOf(guest), Type, Operation: "None", Result: 0 }),
  );

const always =
  (make: (guest: HostileGuest) => Uint8Array) =>
  (guest: HostileGuest): (() => Uint8Array) => {
    const bytes = make(guest);
    return () => bytes;
  };

const line = (fields: object): string => `${JSON.stringify({ level: "error", ...fields })}\n`;

export const floodModes: readonly Mode[] = [
  {
    name: "flood-out-of-memory",
    what: "reports out-of-memory kills without end",
    attack: floodsBridge(always((guest) => notice(guest, "OutOfMemory"))),
    busy: true,
  },
  {
    name: "flood-notifications",
    what: "sends notifications of an unknown type without end",
    attack: floodsBridge(always((guest) => notice(guest, "Surprise"))),
    busy: true,
  },
  {
    name: "flood-message-types",
    what: "sends notifications of an unknown message type without end",
    attack: floodsBridge(always(() => frame(messageType("notification", 0x77), "{}"))),
    busy: true,
  },
  {
    name: "flood-of-strangers",
    what: "notifies of containers that do not exist, each with another id",
    attack: floodsBridge(
      () => (number) =>
        frame(containerNotificationType, JSON.stringify({ ContainerId: `${forgery}${number}`, Type: "Started" })),
    ),
    busy: true,
  },
  {
    name: "flood-states",
    what: "notifies without end that the victim has started, paused and was created",
    attack: floodsBridge(
      (guest) => (number) => notice(guest, ["Started", "Paused", "Constructed", "None"][number % 4] ?? "None"),
    ),
    busy: true,
  },
  {
    name: "flood-exits",
    what: "notifies without end that the victim has ended, though it runs",
    attack: floodsBridge(always((guest) => notice(guest, "ForcedExit"))),
    busy: true,
  },
  {
    name: "flood-empty-objects",
    what: "sends notifications of a million empty objects without end",
    attack: floodsBridge(
      always((guest) =>
        frame(
          containerNotificationType,
          `{"ContainerId":"${victimOf(guest)}","Type":"None","Other":[${"{},".repeat(1_390_000)}{}]}`,
        ),
      ),
    ),
    busy: true,
  },
  {
    name: "flood-deep",
    what: "sends notifications that are nested a million deep without end",
    attack: floodsBridge(
      always(() => frame(containerNotificationType, `{"Other":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`)),
    ),
    busy: true,
  },
  {
    name: "flood-long-ids",
    what: "sends notifications whose container id has 4 MiB without end",
    attack: floodsBridge(
      always(() => frame(containerNotificationType, `{"ContainerId":"${"x".repeat(4_000_000)}","Type":"Started"}`)),
    ),
    busy: true,
  },
  {
    name: "flood-log",
    what: "logs lines without end",
    attack: floodsLog((number) => line({ msg: `line ${number}`, filler: "x".repeat(200) })),
    busy: true,
  },
  {
    name: "flood-log-no-lines",
    what: "logs without ever ending a line",
    attack: floodsLog(() => "x".repeat(16_384)),
    busy: true,
  },
  {
    name: "flood-log-empty-lines",
    what: "logs empty lines without end",
    attack: floodsLog(() => "\n".repeat(16_384)),
    busy: true,
  },
  {
    name: "flood-log-wide",
    what: "logs lines of thousands of fields without end",
    attack: floodsLog((number) =>
      line(Object.fromEntries(Array.from({ length: 3_000 }, (_, index) => [`k${index}`, number]))),
    ),
    busy: true,
  },
  {
    name: "log-forged",
    what: "logs keys and values that look like lines of the host's, or are the host's own fields",
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        for (const name of [
          forgery,
          'a=b level=error msg="forged"',
          "id",
          "namespace",
          "level",
          "time",
          "error",
          "",
          "__proto__",
        ]) {
          guest.log?.write(
            `{"level":"info","msg":${JSON.stringify(forgery)},${JSON.stringify(name)}:${JSON.stringify(forgery)}}\n`,
          );
        }
        guest.struck("logged");
      }),
  },
  {
    name: "log-no-json",
    what: "logs bytes that are neither JSON nor text",
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        for (let count = 0; count < 50; count += 1) {
          guest.log?.write(Buffer.from(Array.from({ length: 400 }, () => Math.floor(guest.options.random() * 256))));
          guest.log?.write(`${forgery}\n`);
        }
        guest.struck("logged");
      }),
  },
  {
    name: "log-many-connections",
    what: "dials the log 300 times and says something on each",
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        for (let count = 0; count < 300; count += 1) {
          void guest.dial(109).then(
            (socket) => socket.write(line({ msg: forgery })),
            () => {},
          );
        }
        guest.struck("dialled");
      }),
  },
];
