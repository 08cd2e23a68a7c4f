import { linuxProcesses, ProcessController, windowsProcesses } from "@uvm-shim/controller-process";
import { FakeProcessGuest, FakeUpstream, pipes, terminal } from "@uvm-shim/controller-process/testing";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import type { CaseContext, Play, Scenario } from "../scenario.ts";

const ids = { containerId: "c1", execId: "e1" };

function linuxLife(context: CaseContext, stdio: typeof pipes): Play {
  const { script, clock } = context;
  const guest = new FakeProcessGuest(script);
  const upstream = new FakeUpstream(script);
  const controller = new ProcessController({ ...ids, guest, flavour: linuxProcesses, upstream, clock });
  return processLife(context, {
    controller,
    guest,
    upstream,
    stdio,
    create: (signal) => controller.create({ stdio }, signal),
  });
}

function windowsLife(context: CaseContext, stdio: typeof pipes): Play {
  const { script, clock } = context;
  const guest = new FakeProcessGuest<WindowsProcessParameters>(script);
  const upstream = new FakeUpstream(script);
  const controller = new ProcessController({ ...ids, guest, flavour: windowsProcesses, upstream, clock });
  const process = { CommandLine: "cmd /c dir" };
  const create = (signal: AbortSignal) => controller.create({ stdio, process }, signal);
  return processLife(context, { controller, guest, upstream, stdio, create });
}

interface Life {
  readonly controller: Pick<ProcessController, "start" | "resize" | "kill" | "abandon" | "wait" | "exit">;
  readonly guest: Pick<FakeProcessGuest, "processes">;
  readonly upstream: FakeUpstream;
  readonly stdio: typeof pipes;
  readonly create: (signal: AbortSignal) => Promise<void>;
}

/** Creates, starts, resizes and kills a process, and ends it whatever came of that. */
function processLife({ callers }: CaseContext, { controller, guest, upstream, stdio, create }: Life): Play {
  let wasCreated = false;
  return {
    act: async () =>
      void (await callers.attempt(async (signal) => {
        await create(signal);
        wasCreated = true;
        await controller.start(signal);
        if (stdio.terminal) await controller.resize(80, 24, signal);
        await controller.kill(15, signal);
      })),
    async cleanUp() {
      await controller.abandon(137);
      for (const process of guest.processes) process.exit(143);
      if (wasCreated) await controller.wait();
    },
    leftovers: () => [
      // Of an answer that was lost nobody has the ends; the opener closes those itself.
      ...upstream.opened.filter(({ isClosed }) => wasCreated && !isClosed).map(() => "open stdio"),
      ...(wasCreated && controller.exit === undefined ? ["a process without an exit"] : []),
    ],
  };
}

export const processScenarios: readonly Scenario[] = [
  {
    controller: "controller-process",
    name: "an exec with a terminal, resized and killed (LCOW)",
    begin: (context) => linuxLife(context, terminal),
  },
  {
    controller: "controller-process",
    name: "an exec with pipes, killed (LCOW)",
    begin: (context) => linuxLife(context, pipes),
  },
  {
    controller: "controller-process",
    name: "an exec with a terminal, resized and killed (WCOW)",
    begin: (context) => windowsLife(context, terminal),
  },
  {
    controller: "controller-process",
    name: "an exec with pipes, killed (WCOW)",
    begin: (context) => windowsLife(context, pipes),
  },
];
