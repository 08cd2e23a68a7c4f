/** Exits that are not reported, reported wrongly or often, and requests that are never answered. */
import { setTimeout as delay } from "node:timers/promises";
import type { Procedure } from "@uvm-shim/gcs-bridge";
import type { HostileGuest } from "../guest/hostile-guest.ts";
import type { FakeProcess } from "../guest/processes.ts";
import type { Reaction } from "../guest/requests.ts";
import type { Mode, Provocation } from "./mode.ts";

const dripMs = 100;

function victimOf(guest: HostileGuest): FakeProcess | undefined {
  return guest.processes.initOf(guest.processes.containers.find((id) => id.endsWith("victim")) ?? "");
}

const never =
  (...procedures: readonly Procedure[]): Mode["attack"] =>
  (guest) => {
    for (const procedure of procedures) guest.onVictim(procedure, () => {});
  };

/** Says that it has done what it was asked, and does nothing. */
const onlySays =
  (...procedures: readonly Procedure[]): Mode["attack"] =>
  (guest) => {
    for (const procedure of procedures) guest.onVictim(procedure, (request) => guest.answer(request));
  };

/** The process has gone from the lists, and no exit is reported. */
const vanish =
  (guest: HostileGuest): Reaction =>
  (request) => {
    guest.answer(request);
    for (const one of guest.processes.alive(request.containerId)) one.status = 137;
  };

/** Writes a little now and then, as what a process has left behind may. */
async function drip(one: FakeProcess): Promise<void> {
  const { StdOut: out } = one.streams;
  while (out !== undefined && !out.destroyed) {
    out.write(".\n");
    await delay(dripMs);
  }
}

const unanswered = (name: string, what: string, procedure: Procedure, provoke: readonly Provocation[]): Mode => ({
  ...{ name, what, provoke },
  attack: never(procedure),
});

export const exitModes: readonly Mode[] = [
  {
    name: "kill-without-deed",
    what: "answers that the victim was killed, and lets it run",
    provoke: ["kill", "terminate"],
    attack: onlySays("signalProcess", "shutdownForced", "shutdownGraceful"),
    mustEnd: true,
  },
  {
    name: "kill-unanswered",
    what: "never answers when the victim is to be killed",
    provoke: ["kill"],
    attack: never("signalProcess", "shutdownForced", "shutdownGraceful"),
    mustEnd: true,
  },
  {
    name: "kill-refused",
    what: "refuses to kill the victim",
    provoke: ["kill", "terminate"],
    attack: (guest) => {
      for (const procedure of ["signalProcess", "shutdownForced", "shutdownGraceful"] as const) {
        guest.onVictim(procedure, (request) => guest.refuse(request, 0x80004005 | 0));
      }
    },
    mustEnd: true,
  },
  {
    name: "exit-unreported",
    what: "has lost a killed victim, and never reports its exit",
    provoke: ["kill", "pids"],
    attack: (guest) => {
      guest.onVictimKilled(vanish(guest));
    },
    mustEnd: true,
  },
  {
    name: "exit-unreported-dripping",
    what: "has lost a killed victim, never reports its exit, and goes on writing its output",
    provoke: ["kill"],
    attack: (guest) => {
      guest.onVictimKilled((request) => {
        const one = victimOf(guest);
        vanish(guest)(request);
        if (one !== undefined) void drip(one);
      });
    },
    stdio: true,
    mustEnd: true,
  },
  {
    name: "exit-reported-dripping",
    what: "reports the exit of a killed victim, and goes on writing its output",
    provoke: ["kill"],
    attack: (guest) => {
      guest.onVictimKilled((request) => {
        guest.answer(request);
        const one = victimOf(guest);
        if (one === undefined || one.status !== undefined) return;
        one.status = 137;
        guest.processes.reportExit(one);
        guest.notify({ ContainerId: request.containerId, Type: "ForcedExit" });
        void drip(one);
      });
    },
    stdio: true,
    mustEnd: true,
  },
  {
    name: "exit-reported-flooding",
    what: "reports the exit of the victim, and goes on writing its output as fast as it is read",
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        const one = victimOf(guest);
        if (one === undefined) return;
        one.status = 0;
        guest.processes.reportExit(one);
        guest.notify({ ContainerId: one.containerId, Type: "UnexpectedExit" });
        guest.struck("reported");
        const out = one.streams.StdOut;
        const pour = (): void => {
          while (out !== undefined && !out.destroyed && out.write(Buffer.alloc(65_536, "x"))) {
            // Until it is full.
          }
        };
        out?.on("drain", pour);
        pour();
      }),
    stdio: true,
    busy: true,
    mustEnd: true,
  },
  {
    name: "exit-notified-only",
    what: "sends the notification of the victim's exit, and never answers those who wait for it",
    attack: (guest) =>
      guest.afterVictimRuns(() => {
        const one = victimOf(guest);
        if (one !== undefined) guest.notify({ ContainerId: one.containerId, Type: "GracefulExit" });
        guest.struck("notified");
      }),
    provoke: ["stats", "kill"],
    mustEnd: true,
  },
  {
    name: "exit-codes-odd",
    what: "reports an exit code that is a fraction, a text or endless",
    attack: (guest) => {
      const codes = ["-1", "1e99", '"7"', "0.5", "null"];
      guest.onVictim("waitForProcess", (request) => {
        const code = codes[Math.floor(guest.options.random() * codes.length)];
        guest.answerText(request, `{"Result":0,"ExitCode":${code}}`);
      });
    },
    provoke: ["kill"],
    mustEnd: true,
  },
  {
    name: "exit-at-once",
    what: "reports the victim's exit before its start",
    attack: (guest) => {
      guest.onVictim("executeProcess", (request) => {
        guest.notify({ ContainerId: request.containerId, Type: "ForcedExit" });
        guest.notify({ ContainerId: request.containerId, Type: "UnexpectedExit" });
        guest.ordinarily(request);
      });
    },
    mustEnd: true,
  },
  {
    name: "pids-of-others",
    what: "gives the victim's processes the pid of another container's",
    provoke: ["exec", "exec", "kill"],
    attack: (guest) => {
      guest.onVictim("executeProcess", (request) => {
        guest.answer(request, { ProcessId: 100 });
        guest.victimRuns();
      });
    },
    mustEnd: true,
  },
  {
    name: "pids-odd",
    what: "answers an execution with pid 0, negative or endless",
    provoke: ["exec", "exec", "exec"],
    attack: (guest) => {
      const pids = ["0", "-5", "1e99", '"3"', "null"];
      guest.onVictim("executeProcess", (request) => {
        const pid = pids[Math.floor(guest.options.random() * pids.length)];
        guest.answerText(request, `{"Result":0,"ProcessId":${pid}}`);
      });
    },
  },
  unanswered("create-unanswered", "never answers the victim's creation", "create", []),
  unanswered("start-unanswered", "never answers the victim's start", "executeProcess", ["kill"]),
  unanswered("figures-unanswered", "never answers questions for the victim's figures", "getProperties", [
    "stats",
    "pids",
    "stats",
    "pids",
  ]),
  unanswered("settings-unanswered", "never answers changes of the victim", "modifySettings", ["update", "pause"]),
  {
    name: "delete-unanswered",
    what: "never answers when the victim is to be deleted",
    provoke: ["kill", "delete"],
    attack: never("deleteContainerState"),
  },
  {
    name: "delete-refused",
    what: "refuses to delete the victim",
    provoke: ["kill", "delete"],
    attack: (guest) => {
      guest.onVictim("deleteContainerState", (request) => guest.refuse(request, 0x80004005 | 0));
    },
  },
  {
    name: "shutdown-ignored",
    what: "does not end when its VM is to be shut down",
    attack: (guest) => {
      guest.onAnything("shutdownGraceful", (request) => guest.answer(request));
      guest.onAnything("shutdownForced", (request) => guest.answer(request));
      guest.afterVictimRuns(() => guest.struck("waits"));
    },
  },
  {
    name: "answers-late",
    what: "answers everything about the victim a second late",
    provoke: ["stats", "exec", "pids", "kill", "delete"],
    attack: (guest) => {
      for (const procedure of ["getProperties", "executeProcess", "signalProcess", "shutdownForced"] as const) {
        guest.onVictim(procedure, (request) => void setTimeout(() => guest.ordinarily(request), 1_000));
      }
    },
    mustEnd: true,
  },
];
