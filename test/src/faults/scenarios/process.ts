import { linuxProcesses, ProcessController } from "@uvm-shim/controller-process";
import { FakeProcessGuest, FakeUpstream, pipes, terminal } from "@uvm-shim/controller-process/testing";
import type { CaseContext, Play, Scenario } from "../scenario.ts";

/** Creates, starts, resizes and kills a process, and ends it whatever came of that. */
function processLife({ script, callers, clock }: CaseContext, stdio: typeof pipes): Play {
  const guest = new FakeProcessGuest(script);
  const upstream = new FakeUpstream(script);
  const controller = new ProcessController({
    containerId: "c1",
    execId: "e1",
    guest,
    flavour: linuxProcesses,
    upstream,
    clock,
  });
  let wasCreated = false;
  return {
    act: async () =>
      void (await callers.attempt(async (signal) => {
        await controller.create({ stdio }, signal);
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
    name: "an exec with a terminal, resized and killed",
    begin: (context) => processLife(context, terminal),
  },
  {
    controller: "controller-process",
    name: "an exec with pipes, killed",
    begin: (context) => processLife(context, pipes),
  },
];
